// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/cgroup_sweep.hpp"

#include <utility>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::parent {

void CgroupSweep::add(os::Cgroup cgroup) {
  if (!cgroup) return;
  cgroup.kill();
  detail::patiently([&] { cgroups_.push_back(std::move(cgroup)); });
}

bool CgroupSweep::sweep() noexcept {
  std::erase_if(cgroups_, [](os::Cgroup& cgroup) { return cgroup.remove(); });
  return cgroups_.empty();
}

}  // namespace procpool::inline v0_1::parent
