// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Progress: the state of a call, for the callback of CallOptions::progress, and a ready callback
// for terminals.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// The state of a call, in elements (for parallelize: in slices).
struct Progress {
  std::uint64_t done = 0;              ///< ended, in whatever way
  std::optional<std::uint64_t> total;  ///< as soon as their number is known
  std::uint64_t failed = 0;            ///< of those done: ended with an error of their own
  std::uint64_t cancelled = 0;         ///< of those done: not run any more
  std::chrono::nanoseconds elapsed{};  ///< since the call began
  bool finished = false;               ///< the last time: nothing follows
};

/// Gets the progress of a call, on the pool's callback thread or by the executor of the call, never
/// twice at the same time. Progress while it runs is told together afterwards. So a slow callback
/// misses steps, but never the end. Its exceptions are logged and disturb nothing.
using ProgressCallback = std::function<void(Progress const&)>;

/// A ready callback: a line on standard error that shows done, total, rate, remaining time and
/// failures. It shows nothing if that is no terminal. It updates at most ten times a second; the
/// last update is exact and ends the line. Each call needs its own.
PROCPOOL_API ProgressCallback progress_bar(std::string label = {});

namespace detail {

// The same on any stream. `even_if_no_terminal` is for tests.
PROCPOOL_API ProgressCallback progress_bar_on(std::FILE* stream, std::string label,
                                              bool even_if_no_terminal);

// The text of one update, without control characters.
PROCPOOL_API std::string progress_line(std::string const& label, Progress const& progress);

}  // namespace detail

}  // namespace procpool::inline v0_1
