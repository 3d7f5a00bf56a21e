#include "parent/idle_policy.hpp"

namespace procpool::inline v0::parent {

IdlePolicy::Time IdlePolicy::spin_time() noexcept {
  // Not in one step: two threads may leave out one spin less.
  if (auto const left = left_out_.load(std::memory_order_relaxed); left != 0) {
    left_out_.store(left - 1, std::memory_order_relaxed);
    return Time(0);
  }
  std::uint64_t const active =
      busy_.load(std::memory_order_relaxed) + spinning_.load(std::memory_order_relaxed);
  bool const free_cpu = active < cpus_.load(std::memory_order_relaxed);
  return free_cpu ? spin : Time(0);
}

void IdlePolicy::note_spin(bool preempted) noexcept {
  if (!preempted) {
    preempted_.store(0, std::memory_order_relaxed);
  } else if (preempted_.fetch_add(1, std::memory_order_relaxed) + 1 >= preempted_in_a_row) {
    preempted_.store(preempted_in_a_row - 1, std::memory_order_relaxed);  // one more says it again
    left_out_.store(left_out, std::memory_order_relaxed);
  }
}

IdlePolicy::Sleep IdlePolicy::next_sleep(std::size_t outcomes, bool in_sight) noexcept {
  if (outcomes >= many_outcomes) return Sleep::short_poll;
  return in_sight ? Sleep::watching : Sleep::deep;
}

}  // namespace procpool::inline v0::parent
