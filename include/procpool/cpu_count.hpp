// The CPUs that this process may really use. Any thread may ask, at any time; each call looks
// afresh, because affinities and quotas can change while a program runs. A crash leaves nothing.
#pragma once

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

// The CPUs in the calling thread's affinity mask, or fewer where a cgroup (a container, a systemd
// slice, a batch job) has a quota of CPU time: a quota of one and a half CPUs counts as two. At
// least 1. Never throws for odd systems: what cannot be read limits nothing.
PROCPOOL_API unsigned cpu_count();

}  // namespace procpool::inline v0
