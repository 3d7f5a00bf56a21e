// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Waiting for a condition that will hold soon, without sleeping. Any thread.

#include <chrono>
#include <thread>

namespace procpool::inline v0_1::os {

// A moment within a spin: lets the other hyperthread run and saves energy.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

// Asks until `done` is true, or until the time is over: false. Fewer pauses between two looks give
// a sooner answer; more pauses leave shared cache lines to their writers. After the first few
// microseconds it yields again and again: the awaited thread may be waiting for this very core.
// `preempted`, unless null, is set if another thread had the core for longer than a spin is worth.
template <class Done>
bool spin_until(std::chrono::nanoseconds time, int pauses_per_look, Done const& done,
                bool* preempted = nullptr) {
  using Clock = std::chrono::steady_clock;
  constexpr int pauses_per_clock = 128;
  constexpr std::chrono::microseconds long_ago{200};
  auto seen = Clock::now();
  auto const end = seen + time;
  auto const look_at_clock = [&] {
    auto const now = Clock::now();
    if (preempted != nullptr && now - seen >= long_ago) *preempted = true;
    seen = now;
  };
  for (bool first = true;; first = false) {
    if (!first) std::this_thread::yield();
    for (int paused = 0; paused < pauses_per_clock; paused += pauses_per_look) {
      if (done()) {
        if (!first) look_at_clock();
        return true;
      }
      for (int i = 0; i < pauses_per_look; ++i) pause();
    }
    look_at_clock();
    if (seen >= end) return false;
  }
}

}  // namespace procpool::inline v0_1::os
