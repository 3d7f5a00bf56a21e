// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// DedicatedWorker: a worker that takes the elements of one owner alone, in a slot of its own, with
// options of its own. The owner asks and signals the process here. The dispatcher reports its
// beginning and its end. A process of an actor may be followed by another one.
//
// Any thread may call the owner's part. The mutex is a leaf. While it is held, the pidfd is open
// and the process is not reaped, so that no signal can reach a stranger.

#include <sys/types.h>

#include <atomic>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/options.hpp>

#include "os/process.hpp"

namespace procpool::inline v0_1::parent {

class DedicatedWorker {
 public:
  using TimePoint = detail::TimePoint;

  // `environment`: "NAME=value" each, all variables of a process that is spawned. `actor`: nothing
  // if the process has one element and ends.
  DedicatedWorker(PoolOptions options, std::vector<std::string> environment,
                  std::optional<detail::ActorPlan> actor = std::nullopt);

  PoolOptions const options;
  std::vector<std::string> const environment;
  // Null: the worker belongs to a Process.
  detail::ActorPlan const* actor() const noexcept { return actor_ ? &*actor_ : nullptr; }
  // For texts: actor "parser", process "reader".
  std::string text() const;

  // ---- the owner's part

  // Blocks until the process exists, and returns its pid. Throws the reason if it cannot be made.
  pid_t wait_until_started();
  // The number of the process, or of the last one. Blocks until there is one; throws the reason if
  // there will be none.
  pid_t wait_for_pid();
  // How many processes there were to be so far.
  unsigned incarnation() const noexcept { return incarnation_.load(std::memory_order_relaxed); }
  // The process exists, or is not known to have ended.
  bool alive() const;
  // Blocks until the process is gone. False: it is not gone at the deadline.
  bool wait_until_ended(std::optional<TimePoint> deadline);
  // Nothing: it is not known to have ended.
  std::optional<os::Exit> exit() const;
  // These do nothing if the process has ended.
  void signal(int number);
  void kill() noexcept;  // with its process group
  // The dispatcher passes the request on when the element has begun to wait for it.
  void request_stop() noexcept { stop_requested_.store(true, std::memory_order_relaxed); }

  // ---- the dispatcher's part

  bool stop_requested() const noexcept { return stop_requested_.load(std::memory_order_relaxed); }
  void started(pid_t pid, int pidfd);
  // The process is about to be reaped or abandoned. From now on nobody signals it.
  void forget_process();
  // Another process follows.
  void begin_again() noexcept { incarnation_.fetch_add(1, std::memory_order_relaxed); }
  // The process has ended in this way, before its element does.
  void note_exit(os::Exit const& exit);
  // No other process follows.
  void ended(os::Exit const& exit);
  void not_started(std::exception_ptr reason);  // for this reason; wait_for_pid() throws it
  // The arguments of the call that makes the object. They are kept if there may be another process.
  detail::InputBuffer take_arguments();

 private:
  std::optional<detail::ActorPlan> actor_;
  std::atomic<unsigned> incarnation_{1};
  mutable detail::Mutex mutex_;
  detail::Condition changed_;
  pid_t pid_ PROCPOOL_GUARDED_BY(mutex_) = 0;   // 0: there is no process yet
  int pidfd_ PROCPOOL_GUARDED_BY(mutex_) = -1;  // the dispatcher's; -1: not to be signalled
  std::optional<os::Exit> exit_ PROCPOOL_GUARDED_BY(mutex_);
  bool ended_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ PROCPOOL_GUARDED_BY(mutex_);  // there is no process, and will be none
  std::atomic<bool> stop_requested_{false};
};

}  // namespace procpool::inline v0_1::parent
