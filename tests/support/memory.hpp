#pragma once

// How large a worker is that has done nothing.

#include <unistd.h>

#include <cstdint>
#include <procpool.hpp>
#include <sstream>

#include "processes.hpp"

namespace support {

// In bytes.
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
