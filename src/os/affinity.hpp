// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The CPUs on which the calling thread may run. Any thread; a crash leaves nothing. Sets of CPUs
// lie on the stack, so that a look at them needs no memory that may be refused.

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace procpool::inline v0_1::os {

// `cpu` counts the CPUs of the machine from 0.
bool may_run_on(int cpu);

// All of them, in ascending order. Empty, if they cannot be told.
std::vector<int> usable_cpus();

// From now on the calling thread runs only on these CPUs. False: errno says why not.
bool run_only_on(std::span<int const> cpus) noexcept;

// Returns a sentence if the calling thread is bound to fewer CPUs than another thread of this
// process, or than the environment asks OpenMP to leave it. Counts of CPUs, such as cpu_count(),
// are too low then.
std::optional<std::string> bound_thread();

}  // namespace procpool::inline v0_1::os
