// Looking for something that will be there soon, without sleeping. Any thread.
#pragma once

#include <chrono>
#include <thread>

namespace procpool::inline v0::os {

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

// Asks until it is told true, or until the time is over: false. The fewer the pauses between two questions, the
// sooner the answer; but where a question takes something from others, they should be some. After the first few
// microseconds it yields again and again: whoever is waited for may be waiting for this very core.
template <class Done>
bool spin_until(std::chrono::nanoseconds time, int pauses_per_look, Done const& done) {
  constexpr int pauses_per_clock = 128;
  auto const end = std::chrono::steady_clock::now() + time;
  for (bool first = true;; first = false) {
    if (!first) std::this_thread::yield();
    for (int paused = 0; paused < pauses_per_clock; paused += pauses_per_look) {
      if (done()) return true;
      for (int i = 0; i < pauses_per_look; ++i) pause();
    }
    if (std::chrono::steady_clock::now() >= end) return false;
  }
}

}  // namespace procpool::inline v0::os
