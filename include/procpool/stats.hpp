// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The counters of a pool. Plain values.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <procpool/histogram.hpp>

namespace procpool::inline v0_1 {

/// The effect of shutdown and terminate.
struct Summary {
  std::uint64_t done = 0;       ///< elements that ended with a value or an error of their own
  std::uint64_t cancelled = 0;  ///< elements that ended with TaskCancelled
  unsigned forced = 0;          ///< workers that had to be killed at the end
};

/// Counters of a pool, in elements. queued + running + done = submitted at every moment.
struct Stats {
  std::uint64_t submitted = 0;      ///< accepted since the pool was made
  std::uint64_t queued = 0;         ///< accepted, not begun
  std::uint64_t running = 0;        ///< begun, not ended
  std::uint64_t done = 0;           ///< ended, in whatever way
  std::uint64_t records = 0;        ///< messages to workers, with one chunk or several short ones
  std::uint64_t worker_starts = 0;  ///< workers that were started, replacements included
  std::uint64_t worker_deaths = 0;  ///< ends that the pool had not asked for
  unsigned workers = 0;             ///< ready at this moment
  std::uint64_t retries = 0;        ///< attempts that failed and were followed by another

  // Workers that the pool ended before its own end, by reason.
  std::uint64_t workers_timed_out = 0;  ///< ended because an element exceeded its timeout
  std::uint64_t workers_cancelled = 0;  ///< ended because a running element was cancelled
  std::uint64_t workers_recycled = 0;   ///< by max_tasks, recycle_above, recycle_after
  std::uint64_t workers_left_idle = 0;  ///< by idle_timeout
  std::uint64_t workers_resized = 0;    ///< by resize
  std::uint64_t failed_starts = 0;      ///< workers that never got as far as their first element

  // Calls of actors count as elements, and their processes as workers, except in `workers`.
  std::uint64_t actors = 0;          ///< that have a process, or get one
  std::uint64_t actor_restarts = 0;  ///< processes that followed another one of their actor

  /// How long elements waited that workers have answered: from the queue to the begin of their last
  /// attempt, see ElementTimes. Of calls with one element the first 4,096 count, and then one in
  /// sixteen, which stands for the others. With PoolOptions::trace all of them count.
  Histogram waited{};
  /// How long the same elements ran, as their workers measured it. Short elements that a worker
  /// answers together count with their mean.
  Histogram ran{};
};

/// An element that a worker runs at this moment.
struct RunningElement {
  unsigned worker = 0;                   ///< place of the worker
  std::uint64_t task = 0;                ///< id of the call
  std::uint64_t element = 0;             ///< index of the input; 0 for submit
  std::string label{};                   ///< CallOptions::label of the call
  std::uint64_t done = 0;                ///< steps, as the task says by this_task::progress
  std::optional<std::uint64_t> total{};  ///< of so many steps, as far as the task says
};

/// One of a pool's places for workers.
struct WorkerStats {
  unsigned index = 0;                       ///< of the place: 0 to size - 1
  pid_t pid = 0;                            ///< of the worker that is there now; 0: none (which
                                            ///< kill takes for the caller's own process group)
  std::uint64_t starts = 0;                 ///< workers that were started here
  std::uint64_t done = 0;                   ///< elements that ended here, in whatever way
  std::chrono::nanoseconds busy{0};         ///< spent on them, as the workers measured it
  std::string last_end{};                   ///< how the last worker that is gone ended
  std::optional<RunningElement> running{};  ///< what the worker runs now
  std::string host{};  ///< the machine, if the pool has workers on several; else empty
};

}  // namespace procpool::inline v0_1
