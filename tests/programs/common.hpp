// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Shared by the little programs: tasks, and a way to report a failure. They end with status 0
// when all was as it should be.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <procpool.hpp>
#include <string>
#include <vector>

namespace programs {

inline int square(int x) { return x * x; }
inline pid_t who() { return ::getpid(); }
inline int die_at_seven(int x) {
  if (x == 7) ::raise(SIGSEGV);
  return x * x;
}

// The start method that the arguments name, or the default.
inline procpool::Start start_of(int argc, char const* const* argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "forkserver") return procpool::Start::forkserver;
  }
  return procpool::Start::spawn;
}

// Ends the program with status 1 if it is not so.
inline void check(bool condition, std::string const& what) {
  if (condition) return;
  std::fprintf(stderr, "wrong: %s\n", what.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

// The text of the E that the call throws.
template <class E, class Call>
std::string error_text(Call&& call) {
  try {
    call();
  } catch (E const& error) {
    return error.what();
  } catch (std::exception const& error) {
    check(false, std::string("another error came: ") + error.what());
  }
  check(false, "no error came");
  return {};
}

// A pool that does what pools do: maps in order, loses one element to a crash, and goes on.
inline void check_pool(int workers = 2) {
  procpool::ProcessPool pool{workers};
  std::vector<int> inputs;
  for (int i = 0; i < 20; ++i) inputs.push_back(i);
  auto const outcomes = pool.outcomes().map<die_at_seven>(inputs);
  for (int i = 0; i < 20; ++i) {
    auto const& outcome = outcomes.at(static_cast<std::size_t>(i));
    if (i == 7) {
      error_text<procpool::WorkerDied>([&] { outcome.value(); });
    } else {
      check(outcome.has_value() && outcome.value() == i * i, "result " + std::to_string(i));
    }
  }
  check(pool.call<square>(9) == 81, "a call after the crash");
}

}  // namespace programs
