// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose static initialisation installs a handler of crashes, as crash reporters do: in
// workers too that one handles them, and the pool's own stands back. For the signals that it leaves
// alone there is a report.

#include <cstring>

#include "common.hpp"

namespace {

bool const installed = [] {
  struct sigaction action{};
  action.sa_handler = [](int) { ::_exit(42); };
  ::sigaction(SIGSEGV, &action, nullptr);
  // Ignored is handled too.
  ::signal(SIGTRAP, SIG_IGN);
  return true;
}();

int raises(int signal) {
  ::raise(signal);
  return signal;
}

}  // namespace

int main() {
  programs::check(installed, "the handler");
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 1;
    options.start.method = start;
    procpool::ProcessPool pool{options};
    try {
      pool.call<raises>(SIGSEGV);
      programs::check(false, "no error came");
    } catch (procpool::WorkerDied const& died) {
      programs::check(died.exit_status() == 42, died.what());
      programs::check(died.stack().empty(), "no report");
    }
    programs::check(pool.call<raises>(SIGTRAP) == SIGTRAP, "what is ignored");
    try {
      pool.call<raises>(SIGABRT);
      programs::check(false, "no error came");
    } catch (procpool::WorkerDied const& died) {
      programs::check(died.signal() == SIGABRT, died.what());
      programs::check(!died.stack().empty(), "a report");
    }
  }
}
