#pragma once

// On which CPUs the calling thread may run. Any thread; a crash leaves nothing.

#include <optional>
#include <string>

namespace procpool::inline v0::os {

// Of the machine's, as counted from 0.
bool may_run_on(int cpu);

// A sentence, if something has bound the calling thread to fewer CPUs than another thread of this process, or than
// the environment asks OpenMP to leave it: what counts by it, cpu_count() above all, is told too few.
std::optional<std::string> bound_thread();

}  // namespace procpool::inline v0::os
