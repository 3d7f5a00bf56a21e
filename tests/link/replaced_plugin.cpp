// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A plug-in that says which build of it runs, here and in a worker.

#include <unistd.h>

#include <procpool.hpp>
#include <utility>

namespace {

std::pair<int, pid_t> build(int) { return {PROCPOOL_TEST_BUILD, ::getpid()}; }

}  // namespace

extern "C" __attribute__((visibility("default"))) void build_there(procpool::ProcessPool& pool,
                                                                   std::pair<int, pid_t>& there) {
  there = pool.call<build>(0);
}
