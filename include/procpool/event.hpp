// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Event: a thing that has happened in a pool, for PoolOptions::on_event. A plain value.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <procpool/detail/export.hpp>
#include <procpool/log.hpp>

namespace procpool::inline v0_1 {

/// What has happened.
enum class EventKind {
  /// A worker has started, its initializer has run, and it takes elements.
  worker_started,
  /// A worker ended without a request of the pool: a crash, a kill from outside, an exit. The log
  /// has the same.
  worker_died,
  /// The pool has ended a worker that another one replaces if there is work: as
  /// LifetimeOptions::max_tasks, recycle_above or recycle_after say, or with an element that exceeded
  /// its timeout or was cancelled.
  worker_replaced,
  /// The pool has ended a worker that no other one replaces: it was idle, or one too many after
  /// resize(), or the pool has ended.
  worker_left,
  /// A worker ended before it could take an element. The pool starts another one, after a while.
  start_failed,
  /// An element ran longer than its timeout and was ended, or had not begun after its queue_timeout.
  task_timed_out,
  /// An element has failed and will be run again, see CallOptions::retries.
  task_retried,
  /// A task has called procpool::log.
  task_logged
};

/// The name of the kind: "worker_started", "worker_died", ...
PROCPOOL_API char const* to_string(EventKind kind) noexcept;

/// A thing that has happened in a pool.
struct Event {
  EventKind kind = EventKind::worker_started;    ///< what has happened
  std::chrono::system_clock::time_point time{};  ///< when the pool noticed it
  std::string pool{};                            ///< name of the pool, or of the actor
  int worker = -1;                               ///< place of the worker; -1: no worker had it
  pid_t pid = 0;                                 ///< of that worker; 0: not known
  std::optional<int> signal{};                   ///< that ended the worker
  std::optional<int> exit_status{};              ///< that the worker ended with
  std::optional<std::uint64_t> task{};           ///< id of the call, if the event is of an element
  std::optional<std::uint64_t> element{};        ///< index of its input; 0 for submit
  std::uint64_t elements = 1;                    ///< task_timed_out: so many, from `element` on
  std::string label{};                           ///< CallOptions::label of the call
  std::optional<LogLevel> level{};               ///< of task_logged
  /// A line for people: "worker 3 (pid 4711) was killed by SIGSEGV". Of task_logged the text that the
  /// task gave, in one line.
  std::string text{};
  std::uint64_t missed = 0;  ///< events just before this one that were not told
};

/// Gets the events of a pool, one after the other and in their order, on the pool's callback thread.
/// The callback may block, and use the pool. It delays other callbacks meanwhile. At most 1,024 events
/// wait for it. Further events are dropped and counted: the next event tells their number, and so
/// does the log. Its exceptions are logged. It is not called after the destructor of the pool.
using EventCallback = std::function<void(Event const&)>;

}  // namespace procpool::inline v0_1
