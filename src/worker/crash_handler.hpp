// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The worker's handler of the signals of a crash. It writes the task's position into the control
// page of the outbox (channel/crash_words.hpp), and then lets the signal have its usual effect.
//
// The worker's setup installs it once, for signals that static initialisation has left at their
// default. A handler that a task installs takes its place. It runs on the thread that crashes. It
// allocates nothing and takes no lock. Unwinding may read damaged memory. If that crashes too, the
// worker ends with the words written so far and with the first signal. If it hangs, the worker is
// killed after two seconds.

#include <cstddef>
#include <span>

namespace procpool::inline v0_1::worker {

// The slow part, done once for all workers that a process forks: they inherit the handlers and the
// signal stack. In that process itself a crash has its usual effect and no report.
void prepare_crash_reports() noexcept;

// `control_page` is that of the outbox. It stays mapped.
void report_crashes(std::span<std::byte> control_page) noexcept;

}  // namespace procpool::inline v0_1::worker
