// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ExitReport: how and why one worker ended. It is one value, which is completed in three steps: the
// dispatcher notes why it asked the worker to leave or killed it, then how the process ended, and
// then the evidence in the channel. The log, the statistics and the errors of elements are printed
// from it. A value; any thread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "channel/layout.hpp"
#include "engine/crash_report.hpp"
#include "os/process.hpp"
#include "parent/chunk.hpp"
#include "parent/slot.hpp"

namespace procpool::inline v0_1::parent {

// "worker 3 (pid 4711)"
std::string worker_name(std::size_t index, pid_t pid);
// "was killed by SIGSEGV", "exited with status 3"
std::string text_of(os::Exit const& exit);
// "SIGTTOU"
std::string text_of_signal(int signal);

// By a user, a script, or the kernel for lack of memory: as far as is known, the process is not to
// blame. The same holds for a process of which nothing is known, because its fork server was killed
// too.
bool may_be_killed_externally(os::Exit const& exit) noexcept;

// The end of an element's output, as much as an error shows.
std::string last_lines(std::string_view output);

// Why the dispatcher asked a worker to leave.
enum class LeaveReason : std::uint8_t {
  none,
  with_pool,
  recycled,
  idle,
  resized,
  hung_up,     // its control socket is closed
  for_element  // it runs an element that is to be ended
};

struct ExitReport {
  // The state of the worker when it ended.
  enum class When : std::uint8_t { starting, initializing, ready, leaving };

  std::string pool;
  std::size_t worker = 0;
  pid_t pid = 0;

  // ---- before the exit
  LeaveReason leave_reason = LeaveReason::none;
  std::string
      cause{};  // of a kill by the dispatcher that no element asked for, or of a failed start
  bool killed = false;  // by the dispatcher
  bool forced = false;  // killed, since it would not have ended otherwise

  // ---- the exit
  When when = When::starting;
  os::Exit exit{};
  bool departed = false;      // it has left its loop, and the process is about to exit
  bool makes_object = false;  // its initializer makes the object of an actor
  std::string failure{};      // of its initializer

  // ---- the evidence
  detail::Stage stage = detail::Stage::idle;
  channel::ExitHint exit_hint = channel::ExitHint::none;
  std::string bad{};    // not empty: the contradiction in what it wrote
  bool poison = false;  // the last of several in a row that died before the same element had begun
  std::shared_ptr<detail::CrashReport const> crash{};
  std::string output{};  // the last lines of the element's

  // Adds the evidence. Waits for memory.
  void examine(Slot::Death const& death) noexcept;

  // "worker 3 (pid 4711) was killed by SIGSEGV"
  std::string text() const;
  // The same if the pool has ended it for this reason. Waits for memory.
  std::string text_for(Slot::KillReason const& reason) const noexcept;

  // The error of an element that is attributed with the exit: WorkerDied, or BadMessage.
  std::exception_ptr reason(Chunk const& attributed) const;
};

}  // namespace procpool::inline v0_1::parent
