// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Watching, signalling and reaping one child. The pidfd is the identity of the child: its number
// can pass to a stranger as soon as the child is reaped, by this library or by the host program.
// Any thread may ask and signal; one thread reaps.
//
// There is no SIGCHLD handler and no waitpid(-1): children of the host program are not touched. A
// host that takes the statuses of the pool's children costs only the status. If this process
// crashes, the watchdog of the child ends the child.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

// Throws ESRCH when there is no such process any more.
UniqueFd open_pidfd(pid_t pid);

struct Exit {
  enum class Kind {
    exited,     // code: the exit status, 0..255
    signalled,  // code: the signal's number
    unknown,    // code: 0; the status was taken elsewhere
    none,       // code: 0; it has not ended, and is waited for no more
  };
  Kind kind = Kind::unknown;
  int code = 0;
  // The most bytes that were resident, in the child or in a process that it waited for. For a
  // spawned child no less than those of its parent. 0: not known.
  std::uint64_t peak = 0;
};

// Kills the rest of the child's process group, if the child leads one, reaps the child, and returns
// how it ended. To be called once, when `pidfd` is readable; -1 for a child that has ended and of
// which none could be had.
//
// Never waits for long. While a debugger holds the dead child for more than 50 ms, the answer is
// `unknown`, and the zombie stays until this process ends. If the system refuses pidfds, the number
// of the child serves as long as it is the child's own.
Exit reap(int pidfd, pid_t pid) noexcept;

// False when the signal did not arrive: the process is gone or is not ours to signal (it became
// another user's). Throws for a descriptor that is not a pidfd and for a signal that is none.
bool send_signal(int pidfd, int signal);

// Signals the process group that the process leads, or the process if it leads none. To be called
// only before reap(). False: no process was reached. If the system refuses pidfds, the number
// serves as long as it is the process's own.
//
// Kernels before 6.9 reach only the process itself if it is no child of this process, or may have
// been reaped elsewhere: its number could be a stranger's by then.
bool signal_group(int pidfd, pid_t pid, int signal) noexcept;

// True if the process has ended, reaped or not.
bool exited(int pidfd);

// The start time of the process in ticks of the system. Together with its number it identifies a
// process. 0: there is no such process, or it has ended and was not reaped yet.
std::uint64_t start_time(pid_t pid) noexcept;

// The state of a thread of any process, by its number: one character, as in /proc/PID/stat, for example 'Z'
// for one that has ended and was not reaped yet, 'T' and 't' for a stopped one. 0: there is no such
// thread, or the system does not say.
char thread_state(pid_t thread) noexcept;

// The number of threads of this process. 0: the system does not say.
std::size_t thread_count() noexcept;

// The memory of this process, in bytes. All 0: the system does not say.
struct MemoryUse {
  std::uint64_t addresses = 0;  // as RLIMIT_AS counts
  std::uint64_t data = 0;       // as RLIMIT_DATA counts, and the stack
  std::uint64_t resident = 0;
};
MemoryUse memory_use() noexcept;

// Resident bytes of this process, now and at most. 0: the system does not say.
std::uint64_t resident_bytes() noexcept;
std::uint64_t peak_resident_bytes() noexcept;

// From now on no core file is written of this process and its children, which may raise the limit.
void no_core_dumps() noexcept;

}  // namespace procpool::inline v0_1::os
