#include "os/affinity.hpp"

#include <sched.h>

#include <cstddef>

namespace procpool::inline v0::os {

bool may_run_on(int cpu) {
  constexpr int most = 1 << 16;
  if (cpu < 0 || cpu >= most) return false;
  cpu_set_t* const set = CPU_ALLOC(most);
  std::size_t const size = CPU_ALLOC_SIZE(most);
  CPU_ZERO_S(size, set);
  bool const may = ::sched_getaffinity(0, size, set) == 0 &&
                   CPU_ISSET_S(static_cast<std::size_t>(cpu), size, set);
  CPU_FREE(set);
  return may;
}

}  // namespace procpool::inline v0::os
