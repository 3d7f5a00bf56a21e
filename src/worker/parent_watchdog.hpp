// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The parent watchdog: a thread in the worker that ends it, with its process group, when the parent
// is gone. User code that never returns cannot keep an orphan alive.
//
// If the thread or the whole worker is stopped, the kernel ends the group when the liveness pipe is
// closed (os/liveness_pipe.hpp). A worker with a control group does without the pipe, because it
// has to end the control group itself. The parent-death signal is a second means. For a worker that
// the fork server forked, the fork server is: it continues or ends its workers when the parent is
// gone.

#include <sys/types.h>

#include <cstdint>

namespace procpool::inline v0_1::worker {

// Until watch_parent(): a worker in its static initialisation, which may take long or hang, ends
// with the parent too. Call it before any other code of the program. `control` is the control
// socket.
void follow_parent(int control) noexcept;

// A terminal cannot stop this process as a background job: nothing would continue it. Writing to
// the terminal and changing its modes then work, and reading fails with EIO. A signal that has a
// handler keeps it. Processes that tasks start inherit the setting; otherwise a task could wait for
// a stopped child for ever.
void refuse_terminal_stops() noexcept;

// The program that the worker serves.
struct Parent {
  pid_t pid;
  std::uint64_t began;  // its os::start_time
  bool is_parent;       // the worker is its child, and not a child of the fork server
};

// Called once, early, by the worker. `parent_pidfd` and `control` stay the caller's, and a task may
// close them: the watchdog then looks for the parent by its pid. `liveness_pipe`: -1, or this
// worker's end of the parent's pipe, which stays open. `cgroup_kill`: -1, or the file that ends the
// worker's control group. Throws std::system_error if no thread can be started.
void watch_parent(Parent parent, int parent_pidfd, int control, int liveness_pipe, int cgroup_kill);

}  // namespace procpool::inline v0_1::worker
