// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/timer.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>

namespace procpool::os {
namespace {

using namespace std::chrono_literals;

bool readable(Timer const& timer, std::chrono::milliseconds within) {
  pollfd watched{timer.fd(), POLLIN, 0};
  return ::poll(&watched, 1, static_cast<int>(within.count())) == 1;
}

TEST(OsTimer, IsReadableOnceItsTimeIsOverAndUntilItIsDrained) {
  Timer const timer;
  EXPECT_FALSE(readable(timer, 0ms));
  auto const begin = std::chrono::steady_clock::now();
  timer.arm(1'020ms);
  EXPECT_TRUE(readable(timer, 60s));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1'020ms);
  EXPECT_TRUE(readable(timer, 0ms));
  timer.drain();
  EXPECT_FALSE(readable(timer, 0ms));
  timer.drain();  // does not block
}

TEST(OsTimer, TheEarliestArmingCounts) {
  Timer const timer;
  timer.arm(3'600'000ms);
  timer.arm(1ms);
  EXPECT_TRUE(readable(timer, 60s));
  timer.drain();
  timer.arm(20ms);
  timer.arm(3'600'000ms);
  EXPECT_TRUE(readable(timer, 60s));
  timer.drain();
  EXPECT_FALSE(readable(timer, 0ms));
}

}  // namespace
}  // namespace procpool::os
