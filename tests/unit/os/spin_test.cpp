// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Spinning: until it is told, or until its time is over; and whether somebody else had the core
// meanwhile.

#include "os/spin.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace procpool {
namespace {

using namespace std::chrono_literals;

TEST(OsSpin, EndsWhenItIsTold) {
  int looks = 0;
  EXPECT_TRUE(os::spin_until(1h, 1, [&] { return ++looks == 1'000; }));
  EXPECT_EQ(looks, 1'000);
}

TEST(OsSpin, EndsWhenItsTimeIsOver) {
  auto const begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(os::spin_until(2ms, 2, [] { return false; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 2ms);
}

// A sleep stands for the time that another has the core.
TEST(OsSpin, SaysThatSomebodyElseHadTheCore) {
  for (int const told : {1'500, 0}) {
    int looks = 0;
    bool preempted = false;
    bool const found = os::spin_until(
        3ms, 1,
        [&] {
          if (++looks == 1'000) std::this_thread::sleep_for(2ms);
          return looks == told;
        },
        &preempted);
    EXPECT_EQ(found, told != 0 && looks == told);
    EXPECT_TRUE(preempted);
  }
}

TEST(OsSpin, DoesNotSaySoOfAnUndisturbedOne) {
  bool preempted = true;
  // The machine may be busy: one of many is enough.
  for (int i = 0; preempted && i < 1'000; ++i) {
    preempted = false;
    os::spin_until(20us, 1, [] { return false; }, &preempted);
  }
  EXPECT_FALSE(preempted);
}

}  // namespace
}  // namespace procpool
