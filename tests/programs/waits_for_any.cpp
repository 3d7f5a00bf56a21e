// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host with a thread that reaps whatever it can: statuses of workers are taken from under the
// pool.

#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "common.hpp"

int main() {
  std::atomic<bool> over{false};
  std::thread thief([&] {
    while (!over) {
      if (::waitpid(-1, nullptr, 0) < 0) std::this_thread::yield();
    }
  });
  for (int i = 0; i < 20; ++i) programs::check_pool();
  over = true;
  thief.join();
}
