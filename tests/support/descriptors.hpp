// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Resources that this process holds: to be the same before and after.

#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <ostream>

#include "processes.hpp"

namespace support {

struct Resources {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  std::size_t mappings = 0;
  std::size_t children = 0;
};

inline Resources open_resources() {
  pid_t const self = ::getpid();
  return {descriptors_of(self).size(), threads_of(self), mappings_of(self).size(),
          children_of(self).size()};
}

inline std::ostream& operator<<(std::ostream& out, Resources const& held) {
  return out << held.descriptors << " descriptors, " << held.threads << " threads, "
             << held.mappings << " mappings, " << held.children << " children";
}

// Memory of this process that is resident, in KiB.
inline long resident_kib() {
  std::ifstream statm("/proc/self/statm");
  long size = 0;
  long pages = 0;
  statm >> size >> pages;
  return pages * ::sysconf(_SC_PAGESIZE) / 1024;
}

}  // namespace support
