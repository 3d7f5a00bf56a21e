// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// instructions CALLS: so many empty tasks, one after the other, submitted and got over a loopback engine.
// check.py counts what one of them takes.

#include <cstdio>
#include <cstdlib>
#include <memory>

#include <procpool.hpp>

#include "instructions/loopback_engine.hpp"

namespace {

int answer() { return 42; }

}  // namespace

int main(int argc, char** argv) {
  int const calls = argc > 1 ? std::atoi(argv[1]) : 1000;
  auto pool = procpool::detail::EngineAccess::pool_over(std::make_unique<bench::LoopbackEngine>());
  int sum = 0;
  for (int i = 0; i < calls; ++i) sum += pool.submit<answer>().get();
  if (sum != 42 * calls) {
    std::fputs("instructions: a wrong result\n", stderr);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
