// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pool used by a static destructor: everything it needs is still there, in the program as in
// workers, which never come here, because they run no task of it at that time.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <procpool.hpp>

static pid_t whose(int) { return getpid(); }

struct AtExit {
  ~AtExit() {
    if (procpool::in_worker()) return;
    procpool::ProcessPool pool{1};
    if (pool.call<whose>(0) == getpid()) std::_Exit(1);
    std::puts("used after main");
  }
} at_exit;

int main() {}
