// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose static initialisation prints to a buffer that it does not flush, counts how often
// it runs, and sets a handler that takes the statuses of all children.

#include <sys/wait.h>

#include <iostream>
#include <string_view>

#include "common.hpp"

namespace {

void take_statuses(int) {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

bool const initialised = [] {
  if (procpool::in_worker()) {
    std::printf("initialised\n");
    std::ios::sync_with_stdio(false);
    std::cout << "also here\n";
    ::signal(SIGCHLD, take_statuses);
  }
  return true;
}();

bool handles_children(int) {
  struct sigaction action{};
  ::sigaction(SIGCHLD, nullptr, &action);
  return action.sa_handler == take_statuses;
}

}  // namespace

int main() {
  procpool::PoolOptions options;
  options.workers = 3;
  options.start.method = procpool::Start::forkserver;
  options.log = [](std::string_view) {};  // the deaths of workers
  procpool::ProcessPool pool{options};
  for (int const key : {0, 1, 2}) {
    programs::check(pool.with({.key = key}).call<programs::square>(key) == key * key, "a result");
    // In workers what static initialisation has set stands.
    programs::check(pool.with({.key = key}).call(handles_children, 1), "the handler is there");
  }
  // And in the fork server it takes no status.
  for (int i = 0; i < 10; ++i) {
    std::string const text =
        programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
    programs::check(text.find("SIGSEGV") != std::string::npos, "the signal is named in: " + text);
  }
  programs::check(initialised, "this is the program");
}
