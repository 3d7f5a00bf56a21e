// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/affinity.hpp"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

namespace procpool::inline v0_1::os {
namespace {

constexpr int most = 1 << 16;

// A set for more CPUs than one cpu_set_t holds.
class CpuSet {
 public:
  CpuSet() = default;
  // The affinity of the thread; 0: of the calling one. Empty, if it cannot be read.
  explicit CpuSet(pid_t thread) noexcept {
    if (::sched_getaffinity(thread, size, words_.data()) != 0) words_ = {};
  }
  void add(int cpu) noexcept { CPU_SET_S(static_cast<std::size_t>(cpu), size, words_.data()); }
  bool has(int cpu) const noexcept {
    return CPU_ISSET_S(static_cast<std::size_t>(cpu), size, words_.data());
  }
  int count() const noexcept { return CPU_COUNT_S(size, words_.data()); }
  bool binds_this_thread() const noexcept {
    return ::sched_setaffinity(0, size, words_.data()) == 0;
  }

 private:
  static constexpr std::size_t size = most / 8;
  std::array<cpu_set_t, size / sizeof(cpu_set_t)> words_{};
};

int widest_of_other_threads() {
  int widest = 0;
  std::unique_ptr<DIR, int (*)(DIR*)> const threads(::opendir("/proc/self/task"), &::closedir);
  if (!threads) return widest;
  while (dirent const* const entry = ::readdir(threads.get())) {
    pid_t thread = 0;
    char const* const end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, thread).ptr == end && thread > 0) {
      widest = std::max(widest, CpuSet(thread).count());
    }
  }
  return widest;
}

// The variable that makes OpenMP bind threads, the main thread included, before main.
char const* binding_variable() {
  for (char const* const name : {"GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PROC_BIND"}) {
    char const* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string_view const text = value;
    if (text != "false" && text != "FALSE" && text != "none" && text != "disabled") return name;
  }
  return nullptr;
}

}  // namespace

bool may_run_on(int cpu) { return cpu >= 0 && cpu < most && CpuSet(0).has(cpu); }

std::vector<int> usable_cpus() {
  CpuSet const usable(0);
  std::vector<int> cpus;
  for (int cpu = 0, left = usable.count(); left > 0 && cpu < most; ++cpu) {
    if (!usable.has(cpu)) continue;
    cpus.push_back(cpu);
    --left;
  }
  return cpus;
}

bool run_only_on(std::span<int const> cpus) noexcept {
  CpuSet only;
  for (int const cpu : cpus) {
    if (cpu < 0 || cpu >= most) {
      errno = EINVAL;
      return false;
    }
    only.add(cpu);
  }
  return only.binds_this_thread();
}

std::optional<std::string> bound_thread() {
  int const own = CpuSet(0).count();
  if (own == 0) return std::nullopt;
  std::string const here = "this thread may run on " + std::to_string(own) + " of ";
  std::string const advice = ", and so may the workers, whose number goes by that too. Start the "
                             "pool (by a first call) on a thread "
                             "that is not bound";
  if (int const others = widest_of_other_threads(); others > own) {
    return here + "the " + std::to_string(others) +
           " CPUs that another thread of this program may use" + advice;
  }
  long const online = ::sysconf(_SC_NPROCESSORS_ONLN);
  char const* const variable = own < online ? binding_variable() : nullptr;
  if (variable == nullptr) return std::nullopt;
  return here + std::to_string(online) + " CPUs, and " + variable +
         " is set, by which OpenMP binds threads" + advice + ", or unset " + variable;
}

}  // namespace procpool::inline v0_1::os
