// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SpinBudget: how long a thread may spin for something that may come soon. A spin answers soonest,
// and takes a CPU that others could use. Any thread. All counts are hints: a wrong one costs time
// and nothing else.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "os/spin.hpp"

namespace procpool::inline v0_1::os {

class SpinBudget {
 public:
  using Time = std::chrono::microseconds;

  // Longer than a wake-up takes.
  static constexpr Time spin{50};
  // So many spins in a row that lost their CPU, and so many spins that are left out then.
  static constexpr unsigned preempted_in_a_row = 3;
  static constexpr unsigned left_out = 4'000;

  explicit constexpr SpinBudget(std::size_t cpus = 1) noexcept : cpus_(cpus) {}

  // CPUs that may be kept busy together.
  void set_cpus(std::size_t count) noexcept { cpus_.store(count, std::memory_order_relaxed); }

  // How long one more thread may spin, beside so many that are busy otherwise. Zero: not at all.
  Time time(std::uint64_t busy) noexcept {
    // Not in one step: two threads may leave out one spin less.
    if (auto const left = left_out_.load(std::memory_order_relaxed); left != 0) {
      left_out_.store(left - 1, std::memory_order_relaxed);
      return Time(0);
    }
    std::uint64_t const active = busy + spinning_.load(std::memory_order_relaxed);
    return active < cpus_.load(std::memory_order_relaxed) ? spin : Time(0);
  }
  // A thread spins from here on.
  void begin() noexcept { spinning_.fetch_add(1, std::memory_order_relaxed); }
  void end() noexcept { spinning_.fetch_sub(1, std::memory_order_relaxed); }
  // Another program may want the CPUs, of which nothing is known here. Then a thread that spins waits
  // longer for its CPU than one that is woken. Once may be chance, several times in a row are not.
  void note(bool preempted) noexcept {
    if (!preempted) {
      preempted_.store(0, std::memory_order_relaxed);
    } else if (preempted_.fetch_add(1, std::memory_order_relaxed) + 1 >= preempted_in_a_row) {
      preempted_.store(preempted_in_a_row - 1,
                       std::memory_order_relaxed);  // one more says it again
      left_out_.store(left_out, std::memory_order_relaxed);
    }
  }

  // Spins until `done` is true. False: there was no time for it, or it is over.
  template <class Done>
  bool spin_until(int pauses_per_look, Done const& done) {
    Time const allowed = time(0);
    if (allowed == Time(0)) return false;
    begin();
    bool preempted = false;
    bool const found = os::spin_until(allowed, pauses_per_look, done, &preempted);
    end();
    note(preempted);
    return found;
  }

 private:
  std::atomic<std::size_t> cpus_;
  std::atomic<std::size_t> spinning_{0};  // threads
  std::atomic<unsigned> preempted_{0};    // the last spins, in a row
  std::atomic<unsigned> left_out_{0};     // of the next spins
};

}  // namespace procpool::inline v0_1::os
