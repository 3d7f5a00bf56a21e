#pragma once

// The watch: a thread in the worker that ends it, and all of its process group, when the parent is gone.
// User code that never returns cannot keep an orphan alive. What stops this thread, or the whole worker, does
// not stop the kernel, which ends the group by itself when the lifeline is cut (os/liveness_pipe.hpp); but where the
// worker has a control group to end as well it must do that itself. The parent-death signal is a further line;
// of a worker that the template process forked, the template is: it continues or ends its workers when the
// parent is gone.

#include <sys/types.h>

#include <cstdint>

namespace procpool::inline v0::worker {

// Until watch_parent: a worker in its static initialisation, which may take long or hang, ends with the
// parent too. To be called before any other code of the program runs; `control` is the control socket.
void follow_parent(int control) noexcept;

// What a terminal stops background jobs by does not stop this process: nobody would continue it. Writing to
// the terminal, and changing its modes, is then simply done, as the program's own; reading fails with EIO. What
// has a handler keeps that; processes that tasks start inherit it, or whoever waits for them would wait for ever.
void refuse_terminal_stops() noexcept;

// Who the worker works for.
struct Parent {
  pid_t pid;
  std::uint64_t began;  // os::start_time of it
  bool is_parent;       // the worker is its child, and not that of a template
};

// To be called once, early, by the worker. `parent_pidfd` and `control` stay the caller's and may be
// closed by anyone: the watch then falls back on looking for the parent by its pid. `lifeline`: -1, or this
// worker's end of the parent's, to be kept open. `cgroup_kill`: -1, or the file by which the worker's control
// group is ended. Throws std::system_error when there is no thread to be had.
void watch_parent(Parent parent, int parent_pidfd, int control, int liveness_pipe, int cgroup_kill);

}  // namespace procpool::inline v0::worker
