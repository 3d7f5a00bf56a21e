// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What every sanitized test program and example starts with. Linked in rather than set in the
// environment: workers may run with a scrubbed one. The environment (ASAN_OPTIONS, ...) still wins.
//
// Fatal signals are left alone: programs that are meant to die by one must die by that one.

#define PROCPOOL_COMMON_OPTIONS                                                   \
  "handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:" \
  "allocator_may_return_null=1"

extern "C" {

__attribute__((visibility("default"), used)) char const* __asan_default_options() {
  return PROCPOOL_COMMON_OPTIONS ":detect_leaks=1:detect_stack_use_after_return=0";
}

__attribute__((visibility("default"), used)) char const* __tsan_default_options() {
  return PROCPOOL_COMMON_OPTIONS;
}

// The dynamic loader's memory under the dynamic loader's lock, which is no mutex that the runtime knows: a library
// that one thread has opened may be closed by another. And the counts of std::exception_ptr, which are atomics inside
// libstdc++, whose code is not instrumented: who gives the last one up ends what another has read.
__attribute__((visibility("default"), used)) char const* __tsan_default_suppressions() {
  return "race:_dl_close_worker\n"
         "race:std::__exception_ptr::exception_ptr::_M_release";
}

__attribute__((visibility("default"), used)) char const* __ubsan_default_options() {
  return PROCPOOL_COMMON_OPTIONS ":print_stacktrace=1";
}
}
