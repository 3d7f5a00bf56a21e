#pragma once

// The watch: a thread in the worker that ends it, and all of its process group, when the parent is gone.
// User code that never returns cannot keep an orphan alive. The parent-death signal is a second line,
// for the case that something stops this thread.

#include <sys/types.h>

namespace procpool::inline v0::local {

// Until watch_parent: a worker in its static initialisation, which may take long or hang, ends with the
// parent too. To be called before any other code of the program runs; `control` is the control socket.
void follow_parent(int control) noexcept;

// To be called once, early, by the worker. `parent_pidfd` and `control` stay the caller's and may be
// closed by anyone: the watch then falls back on looking at the parent's pid. `cgroup_kill`: -1, or the file
// by which the worker's control group is ended. Throws std::system_error when there is no thread to be
// had.
void watch_parent(pid_t parent, int parent_pidfd, int control, int cgroup_kill);

}  // namespace procpool::inline v0::local
