// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The CPUs that this process may really use.

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// The CPUs in the calling thread's affinity mask, or fewer if a cgroup (a container, a systemd
/// slice, a batch job) has a quota of CPU time: a quota of one and a half CPUs counts as two. At
/// least 1. A limit that cannot be read is no limit. Any thread; each call reads the limits anew,
/// because they can change while a program runs.
PROCPOOL_API unsigned cpu_count();

}  // namespace procpool::inline v0_1
