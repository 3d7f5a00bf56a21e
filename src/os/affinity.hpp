#pragma once

// On which CPUs the calling thread may run. Any thread; a crash leaves nothing. Sets of CPUs lie on the stack: to look
// at one, nobody needs memory that may be refused.

#include <optional>
#include <string>

namespace procpool::inline v0::os {

// Of the machine's, as counted from 0.
bool may_run_on(int cpu);

// The calling thread runs there alone from now on. False: errno says why not.
bool run_only_on(int cpu) noexcept;

// A sentence, if something has bound the calling thread to fewer CPUs than another thread of this process, or than
// the environment asks OpenMP to leave it: what counts by it, cpu_count() above all, is told too few.
std::optional<std::string> bound_thread();

}  // namespace procpool::inline v0::os
