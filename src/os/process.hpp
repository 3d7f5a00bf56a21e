// Watching, signalling and reaping one child. The pidfd is the child's identity: a number can pass
// to a stranger as soon as somebody (also the host program) has reaped the child, a pidfd cannot.
// Any thread may ask and signal; one thread reaps. No SIGCHLD handler, never waitpid(-1): children
// of the host program are not touched, and a host that takes our children's statuses costs only the
// status. A crash of this process leaves the child to its own watch on its parent.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "os/fd.hpp"

namespace procpool::inline v0::os {

// Throws ESRCH when there is no such process any more.
UniqueFd open_pidfd(pid_t pid);

struct Exit {
  enum class Kind {
    exited,     // code: the exit status, 0..255
    signalled,  // code: the signal's number
    unknown,    // code: 0; somebody else took the status
    none,       // code: 0; it has not ended, and is waited for no more
  };
  Kind kind = Kind::unknown;
  int code = 0;
  // Bytes that were resident at most, in it or in a child that it waited for; of what was spawned, no less
  // than in whoever did it. 0: not known.
  std::uint64_t peak = 0;
};

// To be called once `pidfd` is readable, or -1 where none could be had of a child that has ended; once. Kills what is left of the child's process group (if
// it leads one), reaps it and says how it ended. Never waits for long: where a debugger still
// holds the dead child for more than 50 ms the answer is `unknown` and the zombie stays until this
// process ends. Where the system refuses to be asked by pidfd, by number, as long as it is the child's own.
Exit reap(int pidfd, pid_t pid) noexcept;

// False when the signal did not arrive: the process is gone or is not ours to signal (it became
// another user's). Throws for a descriptor that is not a pidfd and for a signal that is none.
bool send_signal(int pidfd, int signal);

// Signals the process group that the process leads; where it leads none, itself. To be called only before reap(). Returns false
// when nobody was reached. On kernels before 6.9, of one that is no child of ours or that somebody else
// may have reaped, only the process itself is reached: its number could be a stranger's by then. Where the
// system refuses pidfds, by number, as long as that is its own.
bool signal_group(int pidfd, pid_t pid, int signal) noexcept;

// Whether the process has ended, reaped or not.
bool exited(int pidfd);

// When the process began, in the system's ticks: with its number, the identity of a process. 0: there is
// no such process, or it has ended and was not reaped yet.
std::uint64_t start_time(pid_t pid) noexcept;

// Threads of this process. 0: the system does not say.
std::size_t thread_count() noexcept;

// Bytes of this process that are in memory, and the most that ever were. 0: the system does not say.
std::uint64_t resident_bytes() noexcept;
std::uint64_t peak_resident_bytes() noexcept;

}  // namespace procpool::inline v0::os
