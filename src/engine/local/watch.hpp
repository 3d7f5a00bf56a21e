#pragma once

// The watch: a thread in the worker that ends it, and all of its process group, when the parent is gone.
// User code that never returns cannot keep an orphan alive. The parent-death signal is a second line,
// for the case that something stops this thread.

#include <sys/types.h>

namespace procpool::inline v0::local {

// To be called once, early, by the worker. `parent_pidfd` and `control` stay the caller's and may be
// closed by anyone: the watch then falls back on looking at the parent's pid. `cgroup_kill`: -1, or the file
// by which the worker's control group is ended.
void watch_parent(pid_t parent, int parent_pidfd, int control, int cgroup_kill);

}  // namespace procpool::inline v0::local
