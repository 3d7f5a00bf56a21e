// What keeps another process from going on, as far as the system tells: whether somebody has stopped it, or
// it waits for what cannot come any more. Any thread may ask; nothing here waits, throws or changes anything.
// What is not told (no /proc, not ours to look into) is "nothing is known", which accuses nobody.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace procpool::inline v0::os {

struct Activity {
  bool known = false;
  // By a signal or by its tracer, all of it or one of its threads.
  bool stopped = false;
  int signal = 0;                // by which; 0: not known
  pid_t tracer = 0;              // the thread that traces it, or one of its threads; 0: nobody
  std::uint64_t main_ticks = 0;  // of the processor, that its main thread has had
  bool dumps_core = false;
};

// `pidfd` is that of the process.
Activity activity_of(int pidfd, pid_t pid) noexcept;

// Whoever traces it is a thread of that process.
bool is_thread_of(pid_t thread, pid_t process) noexcept;

// Threads of a dead process that this process traces keep it from being gone until they are waited for: that is done
// here. True: there were some.
bool let_go_traced(pid_t pid) noexcept;
// All of it is dead, and only such threads keep it, whoever traces them.
bool is_held_by_tracer(pid_t pid) noexcept;

// What a process sleeps on: a number that stays the same while none of its threads runs. 0: they do, or wait for
// something that comes by itself, or it cannot be told.
//
// Of all threads at once: each waits, without a limit of time, for a futex that only another thread of the same
// process can wake, but for at most one that waits for descriptors or for time and was made to do nothing else (a
// worker's watch), and no signal has a handler that could. Such a process will never do anything again.
std::uint64_t deadlock_of(pid_t pid) noexcept;
// Of the main thread: it waits for a futex, of whatever kind.
std::uint64_t main_futex_of(pid_t pid) noexcept;

}  // namespace procpool::inline v0::os
