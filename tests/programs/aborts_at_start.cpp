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

int main() {
  procpool::ProcessPool pool{4};
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
  programs::check(stats.worker_starts >= 3 && stats.worker_starts <= 6,
                  std::to_string(stats.worker_starts) + " workers were started");
  programs::check(stats.queued + stats.running == 0, "nothing is left to do");
  programs::check(initialised, "this is the program");
}
