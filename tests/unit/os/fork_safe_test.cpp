// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An object that forked children can use.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "os/fork_safe.hpp"

namespace procpool::os {
namespace {

struct Guarded {
  detail::Mutex mutex;
  int number PROCPOOL_GUARDED_BY(mutex) = 5;
};

TEST(ForkSafe, IsOneForAll) { EXPECT_EQ(&fork_safe<Guarded>(), &fork_safe<Guarded>()); }

// Another thread has the lock nearly all the time, and is not in the child.
TEST(ForkSafe, IsNotLockedInAForkedChild) {
  fork_safe<Guarded>();
  std::atomic<bool> ended{false};
  std::thread holder([&] {
    while (!ended.load()) {
      detail::Lock const lock(fork_safe<Guarded>().mutex);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  for (int i = 0; i < 20; ++i) {
    pid_t const child = ::fork();
    if (child == 0) {
      ::alarm(5);
      Guarded& guarded = fork_safe<Guarded>();
      detail::Lock const lock(guarded.mutex);
      ::_exit(guarded.number);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status;
  }
  ended.store(true);
  holder.join();
}

}  // namespace
}  // namespace procpool::os
