// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CgroupSweep: the control groups of workers that are gone. Each is killed when it is added, and
// its folder is removed as soon as the kernel has ended the processes in it. For one thread, the
// dispatcher. After a crash of the program the next pool in the same folder removes what is left.

#include <vector>

#include "os/cgroup.hpp"

namespace procpool::inline v0_1::parent {

class CgroupSweep {
 public:
  // Does nothing with an empty Cgroup. Waits for memory.
  void add(os::Cgroup cgroup);
  // Removes the groups that are empty. True: none is left.
  bool sweep() noexcept;

 private:
  std::vector<os::Cgroup> cgroups_;
};

}  // namespace procpool::inline v0_1::parent
