// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// System calls that need nothing of this process but its registers: no table of the linker, no
// errno, no thread storage. For code that runs while any of these may be damaged. They return what
// the kernel returns: -errno on failure.

#include <sys/syscall.h>
#include <unistd.h>

namespace procpool::inline v0_1::os {

[[gnu::always_inline]] inline long raw_call(long number, long a = 0, long b = 0, long c = 0,
                                            long d = 0) noexcept {
#if defined(__x86_64__) && defined(__LP64__)
  long result = 0;
  register long fourth asm("r10") = d;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long which asm("x8") = number;
  register long first asm("x0") = a;
  register long second asm("x1") = b;
  register long third asm("x2") = c;
  register long fourth asm("x3") = d;
  asm volatile("svc 0" : "+r"(first) : "r"(which), "r"(second), "r"(third), "r"(fourth) : "memory");
  return first;
#else
  return ::syscall(number, a, b, c, d);
#endif
}

}  // namespace procpool::inline v0_1::os
