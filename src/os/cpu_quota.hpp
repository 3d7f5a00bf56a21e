// How many CPUs a cgroup's quota leaves, as a pure function of what /proc and /sys say, so that
// every odd system can be tested. Any thread; no state, so a crash leaves nothing. The texts come
// from the kernel or from whatever a container shows in its place: anything malformed, empty or
// missing counts as "no limit said".
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace procpool::inline v0::os {

// The least of the affinity and every quota (rounded up) of the process's own cgroup and all above
// it, version 2 (cpu.max) and version 1 (cpu.cfs_quota_us, cpu.cfs_period_us); at least 1.
// `read_file` returns a file's content, or nothing when there is none.
unsigned cpu_count_from(
    unsigned affinity, std::string const& proc_self_cgroup, std::string const& proc_self_mountinfo,
    std::function<std::optional<std::string>(std::string const& path)> const& read_file);

}  // namespace procpool::inline v0::os
