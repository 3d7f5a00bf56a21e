// A program whose workers fail to start now and then, never three times in a row: tasks do not
// notice. The argument is a file in which the starts are counted.

#include <fcntl.h>
#include <sys/stat.h>

#include "common.hpp"

namespace {

bool const initialised = [] {
  char const* const path = std::getenv("TEST_STARTS");
  if (path != nullptr && procpool::in_worker()) {
    int const fd = ::open(path, O_WRONLY | O_APPEND);
    static_cast<void>(!::write(fd, "s", 1));
    struct stat status{};
    ::fstat(fd, &status);
    ::close(fd);
    if (status.st_size % 3 != 0) std::_Exit(9);
  }
  return true;
}();

}  // namespace

int main() {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 3; ++i) {
    programs::check(pool.call<programs::square>(i) == i * i, "a call");
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
  }
  programs::check(initialised, "this is the program");
  return pool.stats().worker_starts == 9 ? 0 : 2;
}
