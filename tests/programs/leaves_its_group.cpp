// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Its task starts a process that leaves the worker's process group and session, in a control group
// of the pool's. Writes the pids of the worker and of that process, then waits to be killed.

#include <string>

#include "common.hpp"

namespace {

void pause_with_a_stray_child() {
  pid_t const child = ::fork();
  if (child == 0) {
    ::setsid();
    ::dprintf(STDOUT_FILENO, "%d\n%d\n", static_cast<int>(::getppid()),
              static_cast<int>(::getpid()));
    for (;;) ::pause();
  }
  for (;;) ::pause();
}

}  // namespace

int main(int, char** argv) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.placement.cgroup = argv[1];
  procpool::ProcessPool pool{options};
  pool.call<pause_with_a_stray_child>();
}
