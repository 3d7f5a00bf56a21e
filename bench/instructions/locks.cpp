// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// locks CALLS MOST: so many empty tasks, one after the other, submitted and got over a loopback engine. Prints how
// many locks of mutexes one of them takes in the program, and fails if there are more than MOST.

#include <dlfcn.h>
#include <pthread.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <procpool.hpp>

#include "instructions/loopback_engine.hpp"

namespace {

using Function = int (*)(pthread_mutex_t*);

Function const next_lock = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
Function const next_trylock =
    reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "pthread_mutex_trylock"));

thread_local std::uint64_t locks = 0;

int answer() { return 42; }

int run(procpool::ProcessPool& pool, int calls) {
  int sum = 0;
  for (int i = 0; i < calls; ++i) sum += pool.submit<answer>().get();
  return sum;
}

}  // namespace

// The C library's, counted. Before `next_lock` is known there is one thread only.
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) {
  ++locks;
  return next_lock != nullptr ? next_lock(mutex) : 0;
}

extern "C" int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  ++locks;
  return next_trylock != nullptr ? next_trylock(mutex) : 0;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: locks CALLS MOST\n", stderr);
    return 2;
  }
  int const calls = std::atoi(argv[1]);
  double const most = std::atof(argv[2]);
  auto pool = procpool::detail::EngineAccess::pool_over(std::make_unique<bench::LoopbackEngine>());
  constexpr int warm_up = 100;
  if (run(pool, warm_up) != 42 * warm_up) return EXIT_FAILURE;
  std::uint64_t const before = locks;
  if (run(pool, calls) != 42 * calls) return EXIT_FAILURE;
  double const each = static_cast<double>(locks - before) / calls;
  std::printf("%.2f locks of mutexes per empty task\n", each);
  return each <= most ? EXIT_SUCCESS : EXIT_FAILURE;
}
