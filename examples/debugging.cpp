// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Start::in_process: the same program, with its tasks run in the calling thread, where a debugger
// stops at a breakpoint and a crash has the whole stack. Nothing is isolated then, and what a task
// writes to a global stays there.

#include <unistd.h>
#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <string_view>

int calls = 0;

pid_t count_call() {
  ++calls;
  return ::getpid();
}

// Debug by an argument, not by changing the code.
procpool::Start start_for(int argc, char** argv) {
  return argc > 1 && std::string_view{argv[1]} == "--spawn" ? procpool::Start::spawn
                                                            : procpool::Start::in_process;
}

int main(int argc, char** argv) {
  auto const start = start_for(argc, argv);
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};

  bool const here = pool.call<count_call>() == ::getpid();
  pool.call<count_call>();
  std::cout << (here ? "ran in this process, " : "ran in a worker, ") << calls
            << " calls counted here\n";

  bool const in_process = start == procpool::Start::in_process;
  return here == in_process && calls == (in_process ? 2 : 0) ? 0 : 1;
}
