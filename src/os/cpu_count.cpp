// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cpu_count() from the real system: the affinity mask, /proc and the cgroup files. Any thread; a
// crash leaves nothing.
#include <procpool/cpu_count.hpp>

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "os/cpu_quota.hpp"

namespace procpool::inline v0_1 {
namespace {

std::optional<std::string> read_file(std::string const& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  // Not the stream-buffer iterators: this form turns a failing read into an end, not a throw.
  std::string text;
  for (std::string line; std::getline(file, line);) text += line + '\n';
  return text;
}

unsigned affinity() {
  // A fixed cpu_set_t ends at 1024 CPUs, where larger machines answer EINVAL.
  for (int cpus = 1024; cpus <= (1 << 20); cpus *= 2) {
    struct Free {
      void operator()(cpu_set_t* set) const { CPU_FREE(set); }
    };
    std::unique_ptr<cpu_set_t, Free> const set(CPU_ALLOC(static_cast<std::size_t>(cpus)));
    if (!set) break;
    std::size_t const size = CPU_ALLOC_SIZE(cpus);
    if (::sched_getaffinity(0, size, set.get()) == 0) {
      return static_cast<unsigned>(CPU_COUNT_S(size, set.get()));
    }
    if (errno != EINVAL) break;
  }
  long const online = ::sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<unsigned>(online) : 1;
}

}  // namespace

unsigned cpu_count() {
  return os::cpu_count_from(affinity(), read_file("/proc/thread-self/cgroup").value_or(""),
                            read_file("/proc/thread-self/mountinfo").value_or(""), read_file);
}

}  // namespace procpool::inline v0_1
