// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose worker stops itself, with a child in its group that is stopped too, having
// refused the signal by which the kernel tells of the program's death. It says the numbers of both
// and of the worker's parent.

#include <sys/prctl.h>
#include <sys/wait.h>

#include "common.hpp"

namespace {

void stop() {
  pid_t const child = ::fork();
  if (child == 0) {
    ::raise(SIGSTOP);
    for (;;) ::pause();
  }
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::dprintf(STDOUT_FILENO, "%d\n%d\n%d\n", static_cast<int>(::getpid()), static_cast<int>(child),
            static_cast<int>(::getppid()));
  ::raise(SIGSTOP);
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.start.method = programs::start_of(argc, argv);
  procpool::ProcessPool pool{options};
  pool.call<stop>();
}
