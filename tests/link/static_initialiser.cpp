// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pool used by a static initialiser works in the program, where the entry hook is a fact of the
// link. In the worker the same initialiser runs again, before the worker's entry: there the use
// must throw, or each worker would make workers of its own, for ever.

#include <unistd.h>

#include <cstring>

#include <procpool.hpp>

static pid_t whose(int) { return getpid(); }

static bool use_a_pool() {
  procpool::ProcessPool pool{1};
  try {
    return pool.call<whose>(0) != getpid();
  } catch (procpool::SetupError const& error) {
    // In the worker: it goes on to its entry and serves the program's call.
    return procpool::in_worker() &&
           std::strstr(error.what(), "has not reached its entry") != nullptr;
  }
}

static bool const worked = use_a_pool();

int main() { return worked ? 0 : 1; }
