// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose workers never get as far as to say a word: static initialisation does not end,
// and has a child of its own. With the argument "for_ever" the program waits for them for ever.

#include <chrono>

#include "common.hpp"

namespace {

bool const initialised = [] {
  if (procpool::in_worker()) {
    static_cast<void>(::fork());
    ::dprintf(STDOUT_FILENO, "%d\n", static_cast<int>(::getpid()));
    for (;;) ::pause();
  }
  return true;
}();

}  // namespace

int main(int argc, char** argv) {
  procpool::PoolOptions options;
  options.workers = 2;
  options.start.method = programs::start_of(argc, argv);
  if (argc > 1 && argv[1] == std::string("for_ever")) {
    procpool::ProcessPool pool{options};
    pool.call<programs::square>(1);
  }
  options.start.timeout = std::chrono::milliseconds(200);
  procpool::ProcessPool pool{options};
  auto future = pool.submit<programs::square>(1);
  auto const begin = std::chrono::steady_clock::now();
  std::string const text = programs::error_text<procpool::SetupError>([&] { future.get(); });
  programs::check(text.find("first word") != std::string::npos, "the reason is said in: " + text);
  programs::check(text.find("200 ms") != std::string::npos, "the time is said in: " + text);
  programs::check(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20), "in time");
  programs::check(initialised, "this is the program");
}
