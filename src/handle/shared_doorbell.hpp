// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SharedDoorbell: the sleep of threads of any process until shared data change. A sleeper reads the
// doorbell, parks, looks once more, and sleeps if there is nothing. A notifier changes the data
// first, and then looks whether somebody is parked. Both use seq_cst, so one of the two sees the
// other.
//
// Parked is a flag and no count, so a sleeper that dies leaves nothing. A notifier that dies between
// its two steps wakes nobody: each sleep ends after 100 ms. Nothing is concluded from a doorbell.
//
// Any thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

#include <procpool/detail/engine/sync_points.hpp>

#include "handle/spins.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0_1::handle {

// In the memory of all. Both are zero at first.
struct DoorbellWords {
  std::atomic<std::uint32_t> doorbell;  // sleepers sleep on it
  std::atomic<std::uint32_t> parked;    // not 0: somebody may sleep
};

}  // namespace procpool::inline v0_1::handle

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

class SharedDoorbell {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::milliseconds longest_sleep{100};

  explicit SharedDoorbell(DoorbellWords& words) noexcept : words_(words) {}

  // After a change that one sleeper, or all, may wait for.
  void notify_one() noexcept {
    if (anybody()) ring(1);
  }
  // As if all slept.
  void notify_all() noexcept { ring(std::numeric_limits<int>::max()); }

  // True if somebody may sleep.
  bool anybody() const noexcept { return words_.parked.load(std::memory_order_seq_cst) != 0; }

  // True if `ready()` is true soon.
  template <class Ready>
  bool spin(Ready const& ready) {
    constexpr int pauses_per_look = 4;
    return spins().spin_until(pauses_per_look, ready);
  }
  // Sleeps unless `ready()`, until the deadline, for 100 ms at most, or until a notification.
  template <class Ready>
  void sleep(std::optional<TimePoint> const& deadline, Ready const& ready) {
    std::uint32_t const seen = words_.doorbell.load(std::memory_order_seq_cst);
    words_.parked.store(1, std::memory_order_seq_cst);
    PROCPOOL_SYNC_POINT(queue_parked);
    if (ready()) return;
    auto const end = std::chrono::steady_clock::now() + longest_sleep;
    os::futex_wait(words_.doorbell, seen, os::FutexScope::shared,
                   deadline && *deadline < end ? *deadline : end);
    PROCPOOL_SYNC_POINT(queue_woken);
    // The notifier has taken the flag, and others may sleep.
    words_.parked.store(1, std::memory_order_seq_cst);
  }

 private:
  void ring(int sleepers) noexcept;

  DoorbellWords& words_;
};

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
