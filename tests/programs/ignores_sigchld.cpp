// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that ignores SIGCHLD: the kernel reaps its children before anybody can ask how they ended.

#include "common.hpp"

int main() {
  ::signal(SIGCHLD, SIG_IGN);
  programs::check_pool();
  for (int i = 0; i < 20; ++i) {
    procpool::ProcessPool pool{2};
    programs::check(pool.call<programs::square>(i) == i * i, "a call");
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
  }
}
