// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose workers fail to start now and then, never three times in a row, or are killed
// while they start, never eight times in a row: tasks do not notice. TEST_STARTS is a file in which
// the starts are counted, TEST_STARTS_KILLED says that it is the latter.

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
    bool const is_killed = std::getenv("TEST_STARTS_KILLED") != nullptr;
    if (is_killed && status.st_size % 8 != 0) ::raise(SIGKILL);
    if (!is_killed && status.st_size % 3 != 0) std::_Exit(9);
  }
  return true;
}();

}  // namespace

int main() {
  bool const is_killed = std::getenv("TEST_STARTS_KILLED") != nullptr;
  procpool::ProcessPool pool{1};
  int const lives = is_killed ? 2 : 3;
  for (int i = 0; i < lives; ++i) {
    programs::check(pool.call<programs::square>(i) == i * i, "a call");
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
  }
  programs::check(initialised, "this is the program");
  return pool.stats().worker_starts == (is_killed ? 16 : 9) ? 0 : 2;
}
