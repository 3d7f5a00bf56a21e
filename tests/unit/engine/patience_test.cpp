// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Steps that wait for memory, and the reserve that they use up first.
#include "engine/patience.hpp"

#include <gtest/gtest.h>

#include <new>
#include <thread>

namespace procpool::detail {
namespace {

TEST(Patience, RepeatsAStepUntilThereIsMemory) {
  int attempts = 0;
  EXPECT_EQ(patiently([&] {
              if (++attempts < 3) throw std::bad_alloc();
              return 7;
            }),
            7);
  EXPECT_EQ(attempts, 3);
}

TEST(Patience, UsesTheReserveOfItsThreadUpFirst) {
  Reserve reserve;
  EXPECT_FALSE(Reserve::use());  // nobody holds it yet
  reserve.hold();
  int attempts = 0;
  patiently([&] {
    if (++attempts < 3) throw std::bad_alloc();
  });
  EXPECT_EQ(attempts, 3);
  EXPECT_FALSE(Reserve::use());
  reserve.renew();
  EXPECT_TRUE(Reserve::use());
  EXPECT_FALSE(Reserve::use());
}

TEST(Patience, AReserveServesOneThreadAndEndsWithItsObject) {
  {
    Reserve reserve;
    reserve.hold();
    std::thread([] { EXPECT_FALSE(Reserve::use()); }).join();
  }
  EXPECT_FALSE(Reserve::use());
}

TEST(Patience, StepsThatCanBeLeftOutAreNotRepeated) {
  int attempts = 0;
  EXPECT_FALSE(if_possible([&] {
    ++attempts;
    throw std::bad_alloc();
  }));
  EXPECT_EQ(attempts, 1);
  EXPECT_TRUE(if_possible([] {}));
}

}  // namespace
}  // namespace procpool::detail
