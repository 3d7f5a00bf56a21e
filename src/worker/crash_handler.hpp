#pragma once

// The worker's handler of signals that a crash raises: it writes where the task was into the outbox's
// control page (channel/crash_words.hpp), and then lets the signal do what it would have done without.
//
// Installed once, by the worker's start-up code, for those signals that static initialisation has left at
// their default; a handler that a task installs takes its place. From then on it runs on whatever thread
// crashes. It allocates nothing and takes no lock. Unwinding reads memory that may be in ruins: should that
// crash too, the worker ends with what was written, and with the signal that came first; should it hang, the
// worker is killed after two seconds.

#include <cstddef>
#include <span>

namespace procpool::inline v0::worker {

// What takes time and can be done once for all workers that a process forks: they inherit the handlers and
// the stack for them. In that process itself a crash is as it would be without.
void prepare_crash_reports() noexcept;

// `control_page` is the outbox's, and stays.
void report_crashes(std::span<std::byte> control_page) noexcept;

}  // namespace procpool::inline v0::worker
