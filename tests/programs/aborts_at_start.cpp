// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose workers abort before they have said a word: a static initialiser does not like
// them.

#include "common.hpp"

namespace {

bool const initialised = [] {
  if (procpool::in_worker()) {
    ::dprintf(STDOUT_FILENO, "worker\n");
    std::abort();
  }
  return true;
}();

}  // namespace

int main(int argc, char** argv) {
  procpool::PoolOptions options;
  options.workers = 4;
  options.start.method = programs::start_of(argc, argv);
  procpool::ProcessPool pool{options};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    try {
      futures.push_back(pool.submit<programs::square>(i));
    } catch (procpool::SetupError const&) {  // it is known by now
    }
  }
  programs::check(!futures.empty(), "the first submit is accepted");
  for (auto& future : futures) {
    std::string const text = programs::error_text<procpool::SetupError>([&] { future.get(); });
    programs::check(text.find("SIGABRT") != std::string::npos, "the signal is named in: " + text);
  }
  // And from now on at once.
  std::string const text = programs::error_text<procpool::SetupError>(
      [&] { pool.map<programs::square>(std::vector{1, 2, 3}); });
  programs::check(text.find("SIGABRT") != std::string::npos, "the signal is named in: " + text);
  auto const stats = pool.stats();
  // With a fork server, it is the fork server that does not start.
  auto const starts = options.start.method == procpool::Start::forkserver ? stats.failed_starts
                                                                          : stats.worker_starts;
  programs::check(starts >= 3 && starts <= 6, std::to_string(starts) + " workers were started");
  programs::check(stats.queued + stats.running == 0, "nothing is left to do");
  programs::check(initialised, "this is the program");
}
