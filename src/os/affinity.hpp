#pragma once

// The CPUs on which the calling thread may run. Any thread; a crash leaves nothing. Sets of CPUs
// lie on the stack, so that a look at them needs no memory that may be refused.

#include <optional>
#include <string>

namespace procpool::inline v0::os {

// `cpu` counts the CPUs of the machine from 0.
bool may_run_on(int cpu);

// From now on the calling thread runs only on this CPU. False: errno says why not.
bool run_only_on(int cpu) noexcept;

// Returns a sentence if the calling thread is bound to fewer CPUs than another thread of this
// process, or than the environment asks OpenMP to leave it. Counts of CPUs, such as cpu_count(),
// are too low then.
std::optional<std::string> bound_thread();

}  // namespace procpool::inline v0::os
