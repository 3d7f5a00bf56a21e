// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sizes, and how much memory processes use.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <procpool.hpp>
#include <sstream>

#include "processes.hpp"

namespace support {

inline constexpr std::size_t kib = 1024;
inline constexpr std::size_t mib = kib * kib;

// The resident memory of this process in bytes.
inline std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// The resident memory of an idle worker in bytes.
inline std::uint64_t resident_of_a_worker() {
  procpool::ProcessPool pool{1};
  pid_t const worker = pool.call([] { return ::getpid(); });
  std::istringstream sizes(read_text(proc(worker, "statm")));
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  sizes >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace support
