#include <procpool/detail/task.hpp>

#include <limits>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/forks.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0::detail {
namespace {

constexpr std::uint32_t open = 0;
constexpr std::uint32_t open_with_sleepers = 1;
constexpr std::uint32_t complete = 2;

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Task::Task(Function function, std::size_t chunk)
    : function_(std::move(function)), chunk_(chunk), id_(next_id()), forks_(fork_count()) {}

Task::~Task() = default;

bool Task::ended() const noexcept {
  // Acquire: the blocks were delivered before the word said so.
  return ended_.load(std::memory_order_acquire) == complete;
}

bool Task::wait_until(std::optional<TimePoint> deadline) const {
  while (!ended()) {
    if (forked_since(forks_)) {
      throw SetupError(
          "this future belongs to a pool of the process that this one was forked from; its result "
          "arrives only there");
    }
    if (deadline && std::chrono::steady_clock::now() >= *deadline) return false;
    std::uint32_t expected = open;
    // Acquire on failure: it may be complete by now.
    if (!ended_.compare_exchange_strong(expected, open_with_sleepers, std::memory_order_acquire,
                                        std::memory_order_acquire) &&
        expected == complete) {
      return true;
    }
    os::futex_wait(ended_, open_with_sleepers, os::FutexScope::process_private, deadline);
  }
  return true;
}

void Task::keep(Share::List const& shares) {
  std::lock_guard const lock(mutex_);
  kept_.insert(shares.begin(), shares.end());
}

std::vector<Block> Task::take() {
  std::lock_guard const lock(mutex_);
  return std::exchange(blocks_, {});
}

void Task::announce(std::uint64_t elements) {
  std::lock_guard const lock(mutex_);
  announced_ += elements;
}

bool Task::seal() {
  std::lock_guard const lock(mutex_);
  if (std::exchange(sealed_, true)) return false;
  end_if_complete();
  return true;
}

void Task::deliver(Block block) {
  std::lock_guard const lock(mutex_);
  delivered_ += block.count;
  blocks_.push_back(std::move(block));
  end_if_complete();
}

void Task::end_if_complete() {
  if (!sealed_ || delivered_ != announced_) return;
  // Release: whoever sees `complete` sees the blocks.
  if (ended_.exchange(complete, std::memory_order_release) == open_with_sleepers) {
    os::futex_wake(ended_, std::numeric_limits<int>::max(), os::FutexScope::process_private);
  }
}

}  // namespace procpool::inline v0::detail
