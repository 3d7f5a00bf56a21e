// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The reasons, as far as the system tells them, why another process does not go on: something has
// stopped it, or it waits for an event that cannot come any more. Any thread may ask. Nothing here
// waits, throws or changes anything. Without an answer of the system (no /proc, no rights) nothing
// is known, and no process is accused.

#include <sys/types.h>

#include <cstdint>

namespace procpool::inline v0_1::os {

struct Activity {
  bool known = false;
  // By a signal or by a tracer: the process, or one of its threads.
  bool stopped = false;
  int signal = 0;                // that stopped it; 0: not known
  pid_t tracer = 0;              // the thread that traces it, or one of its threads; 0: nobody
  std::uint64_t main_ticks = 0;  // of processor time of its main thread
  bool dumps_core = false;
};

// `pidfd` belongs to the process.
Activity activity_of(int pidfd, pid_t pid) noexcept;

// For a tracer, which is a thread: is it one of this process?
bool is_thread_of(pid_t thread, pid_t process) noexcept;

// A dead process stays while its threads that this process traces are not waited for. This function
// waits for them. True: there were some.
bool let_go_traced(pid_t pid) noexcept;
// The process is dead, and stays only because a tracer has not waited for its threads.
bool is_held_by_tracer(pid_t pid) noexcept;

// Both return a number that stays the same while no thread of the process runs. 0: a thread runs or
// waits for something that comes by itself, or the system does not tell.
//
// A deadlock of all threads. Each waits, without a limit of time, for a futex that only another
// thread of the same process can wake, and no signal has a handler that could do so. At most one
// thread waits for descriptors or for time, which does nothing else (the watchdog of a worker).
// Such a process will never do anything again.
std::uint64_t deadlock_of(pid_t pid) noexcept;
// The main thread waits for a futex of any kind.
std::uint64_t main_futex_of(pid_t pid) noexcept;

}  // namespace procpool::inline v0_1::os
