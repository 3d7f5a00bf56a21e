// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The number of CPUs that the quota of a cgroup leaves, as a pure function of the texts in /proc
// and /sys, so that every odd system can be tested. Any thread; no state. The texts come from the
// kernel or from a container's replacement of it: malformed, empty and missing texts count as "no
// limit".

#include <functional>
#include <optional>
#include <string>

namespace procpool::inline v0_1::os {

// Returns the minimum of the affinity and all quotas (rounded up) of the cgroup of the process and
// of the groups above it; at least 1. Version 2 (cpu.max) and 1 (cpu.cfs_quota_us,
// cpu.cfs_period_us). `read_file` returns a file's content, or nothing when there is none.
unsigned cpu_count_from(
    unsigned affinity, std::string const& proc_self_cgroup, std::string const& proc_self_mountinfo,
    std::function<std::optional<std::string>(std::string const& path)> const& read_file);

}  // namespace procpool::inline v0_1::os
