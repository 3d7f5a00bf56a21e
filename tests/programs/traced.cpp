// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program with a pool, for a trace that PROCPOOL_TRACE asks for. traced TASKS: so many tasks, some of
// which crash or throw. traced nested: tasks with pools of their own. traced endless: tasks until it is
// killed. traced two: a pool after another.

#include <signal.h>

#include "common.hpp"

namespace {

// A pool with static storage is one of each worker too.
procpool::ProcessPool unused{1};

int work(int x) {
  if (x % 50 == 17) ::raise(SIGKILL);
  if (x % 50 == 18) throw std::runtime_error("18");
  return x;
}

int nested(int x) {
  procpool::ProcessPool pool{{.workers = 1, .name = "inner"}};
  return pool.call<programs::square>(x);
}

}  // namespace

int main(int, char** argv) {
  std::string const what = argv[1];
  procpool::ProcessPool pool{{.workers = 2, .name = "outer"}};
  if (what == "nested") {
    programs::check(pool.call<nested>(3) == 9, "a nested call");
  } else if (what == "endless") {
    for (;;) pool.with({.label = "endless"}).map<programs::square>(std::vector<int>(100, 1));
  } else if (what == "two") {
    programs::check(pool.call<programs::square>(3) == 9, "a call");
    pool = procpool::ProcessPool{{.workers = 1, .name = "second"}};
    programs::check(pool.call<programs::square>(4) == 16, "another call");
  } else {
    std::vector<int> inputs(static_cast<std::size_t>(std::stoi(what)));
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<int>(i);
    auto const outcomes = pool.with({.label = "say \"\xc3\xbc\" \\"}).outcomes().map<work>(inputs);
    programs::check(outcomes.size() == inputs.size(), "all outcomes");
  }
}
