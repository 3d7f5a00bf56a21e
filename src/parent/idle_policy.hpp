// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// IdlePolicy: how the parts of a pool wait for the next thing to do. A spin answers soonest, and
// takes a CPU that others could use. A sleep costs a wake-up.
//
//   who          state         begins when                          ends by
//   caller,      spinning      a CPU is free for it                 news, or 50 us
//   worker       asleep        nothing came by then                 a futex, from the side with news
//   dispatcher   short poll    many outcomes came since its sleep   50 us
//                watching      elements are out, or wait            an event, or 100 ms
//                deep sleep    no work is in sight                  an event: new work is one
//
// Any thread. All counts are hints: a wrong one costs time and nothing else.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "os/spin_budget.hpp"

namespace procpool::inline v0_1::parent {

class IdlePolicy {
 public:
  using Time = os::SpinBudget::Time;

  static constexpr Time spin = os::SpinBudget::spin;
  static constexpr Time short_poll{50};
  // Notifications are hints alone: while elements are out, all workers are looked at as often as this.
  static constexpr Time look_interval = std::chrono::milliseconds(100);
  // When more outcomes than this come between two sleeps, a notification for each would cost more
  // than looks at regular times.
  static constexpr std::size_t many_outcomes = 4;
  static constexpr unsigned preempted_in_a_row = os::SpinBudget::preempted_in_a_row;
  static constexpr unsigned left_out = os::SpinBudget::left_out;

  // CPUs that spinning threads and workers may keep busy together.
  void set_cpus(std::size_t count) noexcept { spins_.set_cpus(count); }

  // So many workers are busy now.
  void note_busy(std::uint64_t workers) noexcept {
    busy_.store(workers, std::memory_order_relaxed);
  }
  bool any_busy() const noexcept { return busy_.load(std::memory_order_relaxed) != 0; }

  // How long one more thread may spin. Zero: not at all.
  Time spin_time() noexcept { return spins_.time(busy_.load(std::memory_order_relaxed)); }
  // A thread spins from here on.
  void spin_begins() noexcept { spins_.begin(); }
  void spin_ends() noexcept { spins_.end(); }
  void note_spin(bool preempted) noexcept { spins_.note(preempted); }

  // How the dispatcher sleeps next.
  enum class Sleep : std::uint8_t { short_poll, watching, deep };
  // `outcomes`: since its sleep before. `in_sight`: elements are out, or wait.
  static Sleep next_sleep(std::size_t outcomes, bool in_sight) noexcept;

 private:
  os::SpinBudget spins_;
  std::atomic<std::uint64_t> busy_{0};  // workers
};

}  // namespace procpool::inline v0_1::parent
