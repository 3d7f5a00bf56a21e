#include "os/affinity.hpp"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

namespace procpool::inline v0::os {
namespace {

constexpr int most = 1 << 16;

class CpuSet {
 public:
  // Of the thread; 0: the calling one. Empty, if it cannot be had.
  explicit CpuSet(pid_t thread) {
    CPU_ZERO_S(size_, set_.get());
    if (::sched_getaffinity(thread, size_, set_.get()) != 0) CPU_ZERO_S(size_, set_.get());
  }
  bool has(int cpu) const { return CPU_ISSET_S(static_cast<std::size_t>(cpu), size_, set_.get()); }
  int count() const { return CPU_COUNT_S(size_, set_.get()); }

 private:
  struct Free {
    void operator()(cpu_set_t* set) const { CPU_FREE(set); }
  };
  std::size_t const size_ = CPU_ALLOC_SIZE(most);
  std::unique_ptr<cpu_set_t, Free> const set_{CPU_ALLOC(most)};
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

// What makes OpenMP bind threads, also the first one of the program, before main.
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

}  // namespace procpool::inline v0::os
