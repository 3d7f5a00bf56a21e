// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Vigil: the watch over one worker that has something to do and makes no progress. Three kinds are
// found: a worker that is stopped, one that waits for an event that cannot come any more, and one
// that has damaged itself. No such worker ends by itself, so the pidfd never reports it.
//
// A worker that computes for a year looks like one in an endless loop, and is left alone. A
// decision to kill rests on several looks in a row that show the same state of the system. Looks
// are counted instead of time, because this process may have been stopped as well.
//
// Pure: the system is seen through `Process`, and the caller carries out the decision. For one
// thread, the dispatcher.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <procpool/detail/engine/deadline.hpp>

#include "channel/layout.hpp"
#include "os/activity.hpp"

namespace procpool::inline v0_1::parent {

class Vigil {
 public:
  using TimePoint = detail::TimePoint;

  // The worker's duty at the time of a look.
  struct Duty {
    bool due = false;      // it has something to do
    bool owes = false;     // an outcome, or the acknowledgement of a revocation
    bool runs = false;     // an element, by its progress words
    bool exits = false;    // it was asked to exit, and runs no element
    bool crashes = false;  // it has begun to report a crash
    std::uint64_t progress = 0;
    channel::ExitHint exit_hint = channel::ExitHint::none;
  };

  // Observations of the worker's process. Each call reads /proc, and is made only when a decision
  // depends on it.
  class Process {
   public:
    virtual os::Activity activity() const = 0;
    virtual std::uint64_t deadlock() const = 0;    // see os::deadlock_of
    virtual std::uint64_t main_futex() const = 0;  // see os::main_futex_of
    // `tracer` is a thread of the process that started the worker and never asked to trace it. The
    // worker has asked for that itself, by PTRACE_TRACEME.
    virtual bool traced_by_parent(pid_t tracer) const = 0;

   protected:
    ~Process() = default;
  };

  struct Decision {
    enum class Action {
      none,
      nudge,   // wake it up
      resume,  // send SIGCONT
      report,  // say in the log why it is waited for
      kill,
    } action = Action::none;
    std::string text{};  // kill: the cause. resume, report: a predicate of "worker N"
  };

  // `exit_grace`: for a worker in the middle of exit().
  explicit Vigil(std::chrono::milliseconds exit_grace = {}) noexcept : exit_grace_(exit_grace) {}

  // The next look; a time in the past while the worker has nothing to do.
  TimePoint next() const noexcept { return streak_.next; }
  // Call at next() or later.
  Decision look(TimePoint now, Duty const& duty, Process const& process);

 private:
  // The observations since the worker made progress the last time.
  struct Streak {
    TimePoint next{};  // none: not looked at yet
    std::uint64_t progress = 0;
    std::uint64_t ticks = 0;  // of the processor, at the begin of the streak
    std::uint64_t sleep = 0;  // the futex it slept on at the last look
    // Looks in a row that showed this.
    unsigned stopped = 0;
    unsigned deadlocked = 0;
    unsigned asleep = 0;
    bool nudged = false;
    std::optional<TimePoint> crashes_since{};
    std::optional<TimePoint> exits_since{};
  };

  Decision look_at_stop(os::Activity const& activity, Process const& process);
  std::optional<Decision> look_at_exit(TimePoint now, Duty const& duty,
                                       os::Activity const& activity);
  Decision look_at_sleep(Duty const& duty, os::Activity const& activity, Process const& process);

  std::chrono::milliseconds exit_grace_;
  Streak streak_;
  bool debugger_reported_ = false;
};

}  // namespace procpool::inline v0_1::parent
