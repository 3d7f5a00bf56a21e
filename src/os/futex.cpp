// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The two futex calls, without a state. Any thread; futex_wake also from a signal handler. Crashes:
// see the header.
#include "os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
static_assert(std::atomic<std::uint32_t>::is_always_lock_free,
              "a word that carries a lock cannot be shared between processes");

// The time as SYS_futex reads it on every machine: two longs, for every width of time_t.
struct KernelTime {
  long seconds;
  long nanoseconds;
};

KernelTime kernel_time(std::chrono::steady_clock::time_point deadline) {
  using namespace std::chrono;
  // steady_clock is CLOCK_MONOTONIC, which FUTEX_WAIT_BITSET takes as an absolute time: repeated
  // waits do not drift. A time before the start of the clock would be EINVAL; it means "over".
  auto const since = deadline.time_since_epoch();
  if (since < since.zero()) return {0, 0};
  auto const whole = floor<seconds>(since);
  return {static_cast<long>(whole.count()),
          static_cast<long>(duration_cast<nanoseconds>(since - whole).count())};
}

int operation(int op, FutexScope scope) {
  return scope == FutexScope::process_private ? op | FUTEX_PRIVATE_FLAG : op;
}

}  // namespace

FutexResult futex_wait(std::atomic<std::uint32_t> const& word, std::uint32_t expected,
                       FutexScope scope,
                       std::optional<std::chrono::steady_clock::time_point> deadline) {
  KernelTime time{};
  if (deadline) time = kernel_time(*deadline);
  long const result = ::syscall(SYS_futex, &word, operation(FUTEX_WAIT_BITSET, scope), expected,
                                deadline ? &time : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (result == 0) return FutexResult::woken;
  switch (errno) {
    case EAGAIN: return FutexResult::changed;
    case ETIMEDOUT: return FutexResult::timed_out;
    case EINTR: return FutexResult::interrupted;
    default: throw_errno("procpool could not sleep on a word of memory");
  }
}

int futex_wake(std::atomic<std::uint32_t> const& word, int count, FutexScope scope) noexcept {
  int const kept = errno;
  long const woken =
      ::syscall(SYS_futex, &word, operation(FUTEX_WAKE, scope), count, nullptr, nullptr, 0);
  errno = kept;
  return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace procpool::inline v0_1::os
