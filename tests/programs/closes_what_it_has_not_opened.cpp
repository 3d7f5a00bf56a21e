// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that closes all descriptors but the standard ones, while its pool is idle ("idle") or has an
// element ("busy"). A child that it forks does so first, and ends in peace.

#include <sys/wait.h>

#include <chrono>
#include <string_view>
#include <thread>

#include "common.hpp"

namespace {

int after_long(int number) {
  std::this_thread::sleep_for(std::chrono::seconds(1));
  return number;
}

void close_all() {
  for (int fd = 3; fd < 1024; ++fd) ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  bool const busy = argc > 1 && std::string_view(argv[1]) == "busy";
  procpool::ProcessPool pool{2};
  programs::check(pool.call<programs::square>(3) == 9, "a call");
  if (pid_t const child = ::fork(); child == 0) {
    close_all();
    ::_exit(0);  // LeakSanitizer would look for the threads of the parent
  } else {
    int status = -1;
    ::waitpid(child, &status, 0);
    programs::check(status == 0, "a child closes its own");
  }
  procpool::Future<int> running;
  if (busy) running = pool.submit<after_long>(1);
  close_all();
  // The first call finds it out, or a later one if the pool's thread is asleep.
  for (int i = 0; i < 1'000; ++i)
    pool.submit<programs::square>(3).wait_for(std::chrono::milliseconds(10));
}
