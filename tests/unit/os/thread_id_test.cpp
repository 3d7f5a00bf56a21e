// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The identity of a thread.
#include "os/thread_id.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace {

namespace os = procpool::os;

std::uint32_t asked() { return static_cast<std::uint32_t>(::syscall(SYS_gettid)); }

TEST(OsThreadId, IsThatOfTheKernelAndOfOneThread) {
  os::ThreadId const mine = os::this_thread_id();
  EXPECT_EQ(mine.number, asked());
  EXPECT_NE(mine.serial, 0U);
  EXPECT_EQ(os::this_thread_id().serial, mine.serial);
  std::thread([&] {
    EXPECT_EQ(os::this_thread_id().number, asked());
    EXPECT_NE(os::this_thread_id().serial, mine.serial);
  }).join();
}

TEST(OsThreadId, IsAnotherOneInAForkedChild) {
  os::ThreadId const before = os::this_thread_id();
  pid_t const child = ::fork();
  if (child == 0) {
    os::ThreadId const now = os::this_thread_id();
    ::_exit((now.number == asked() ? 1 : 0) | (now.serial != before.serial ? 2 : 0) |
            (now.serial != 0 ? 4 : 0));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(os::this_thread_id().serial, before.serial) << "the parent's is the same as before";
}

}  // namespace
