// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A library whose host knows nothing of pools, and whose main is no C++ program's: its workers are
// executions of procpool-worker, which opens it.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

#include <procpool.hpp>

namespace {

struct Square {
  int value = 0;
  pid_t by = 0;
};

int preloaded = 0;
void preload(int value) { preloaded = value; }

Square square(int x) { return {x * x, ::getpid()}; }
int nested(int x) {
  procpool::ProcessPool pool{1};
  return pool.call<square>(x).value + preloaded;
}

int sum_of_squares(procpool::Start start, int n) {
  procpool::PoolOptions options;
  options.workers = 2;
  options.start.method = start;
  options.output.mode = procpool::Output::drop;
  if (start == procpool::Start::forkserver) options.start.preload = procpool::bound<preload>(1000);
  procpool::ProcessPool pool{options};
  std::vector<int> inputs(static_cast<std::size_t>(n));
  std::iota(inputs.begin(), inputs.end(), 0);
  int sum = 0;
  for (Square const& one : pool.map<square>(inputs)) {
    if (one.by == ::getpid()) return -2;
    sum += one.value;
  }
  return sum + pool.call<nested>(3);
}

int guarded(procpool::Start start, int n) {
  try {
    return sum_of_squares(start, n);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return -1;
  }
}

}  // namespace

// The sum of n squares, and nine; with what was preloaded 1009.
extern "C" __attribute__((visibility("default"))) int hosted_spawn(int n) {
  return guarded(procpool::Start::spawn, n);
}
extern "C" __attribute__((visibility("default"))) int hosted_fork(int n) {
  return guarded(procpool::Start::forkserver, n);
}
