// A moment within a spin: lets the other hyperthread run and saves energy. Any thread.
#pragma once

namespace procpool::inline v0::os {

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

}  // namespace procpool::inline v0::os
