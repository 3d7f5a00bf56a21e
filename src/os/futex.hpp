// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sleeping on a 32-bit word until a change of it is told. Any thread of any process that maps the
// word may sleep or wake; a sleeper needs only a read-only view. Each return except `changed` may
// be spurious: the caller looks at the word again.
//
// A process that dies before its wake wakes nobody. A wait on a word of another process therefore
// needs a deadline, or another way to learn of that death. A sleeper that dies leaves nothing
// behind.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace procpool::inline v0_1::os {

enum class FutexScope { process_private, shared };

enum class FutexResult {
  woken,        // by a wake, or spuriously
  changed,      // the word did not hold `expected`
  timed_out,    // the deadline has passed
  interrupted,  // by a signal
};

// Sleeps while `word` holds `expected`, until the deadline. The kernel compares and goes to sleep
// in one step, so a change followed by a wake cannot be missed. Both sides must name the same
// scope. Throws when the word is not in memory that can be waited on.
FutexResult futex_wait(std::atomic<std::uint32_t> const& word, std::uint32_t expected,
                       FutexScope scope,
                       std::optional<std::chrono::steady_clock::time_point> deadline = {});

// Wakes at most `count` sleepers and returns how many. Never throws: it can fail only when the word
// is no longer mapped, and then nobody sleeps on it. Keeps errno.
int futex_wake(std::atomic<std::uint32_t> const& word, int count, FutexScope scope) noexcept;

}  // namespace procpool::inline v0_1::os
