// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Times that are added to a point in time: what is too long ends never, whatever it is counted in.

#include <procpool/detail/engine/deadline.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

#include <procpool/detail/engine/task_control.hpp>

namespace {

using namespace std::chrono_literals;
using procpool::detail::deadline_after;
using procpool::detail::later;
using procpool::detail::TimePoint;

TimePoint const start{std::chrono::hours(1000)};

TEST(Deadline, IsExactWhereItCanBe) {
  EXPECT_EQ(later(start, 1ns), start + 1ns);
  EXPECT_EQ(later(start, 250ms), start + 250ms);
  EXPECT_EQ(later(start, std::chrono::years(290)), start + std::chrono::years(290));
  EXPECT_EQ(later(start, std::chrono::duration<double>(1.5)), start + 1500ms);
  using Thirds = std::chrono::duration<int, std::ratio<1, 3>>;
  EXPECT_EQ(later(start, Thirds(1)), start + 333'333'334ns);  // never too early
}

TEST(Deadline, WhatIsTooLongIsNever) {
  EXPECT_EQ(later(start, std::chrono::nanoseconds::max()), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::milliseconds::max()), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::milliseconds::max() / 1000), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::hours::max()), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::years(300)), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::duration<double>(1e300)), TimePoint::max());
  EXPECT_EQ(later(start, std::chrono::duration<float>(std::numeric_limits<float>::infinity())),
            TimePoint::max());
  using Ages = std::chrono::duration<std::uint64_t, std::ratio<3'155'695'200>>;  // centuries
  EXPECT_EQ(later(start, Ages::max()), TimePoint::max());
  EXPECT_EQ(later(TimePoint::max(), 1ns), TimePoint::max());
  EXPECT_EQ(later(later(start, std::chrono::milliseconds::max()), 50ms), TimePoint::max());
  EXPECT_EQ(deadline_after(std::chrono::milliseconds::max()), std::nullopt);
}

TEST(Deadline, NothingAndLessIsOver) {
  EXPECT_EQ(later(start, 0ms), start);
  EXPECT_EQ(later(start, std::chrono::nanoseconds::min()), start);
  EXPECT_EQ(later(start, std::chrono::hours::min()), start);
  EXPECT_EQ(later(start, std::chrono::duration<double>(-1e300)), start);
  EXPECT_EQ(later(start, std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
            start);
  EXPECT_TRUE(deadline_after(-1s).has_value());
}

TEST(Deadline, TheBackoffOfRetriesDoesNotOverflow) {
  procpool::Retries retries{.times = 5, .backoff = 10ms};
  EXPECT_EQ(procpool::detail::backoff_before(1, retries), 10ms);
  EXPECT_EQ(procpool::detail::backoff_before(4, retries), 80ms);
  for (auto const backoff :
       {std::chrono::milliseconds::max(), std::chrono::milliseconds::max() / 2 + 1ms,
        std::chrono::milliseconds::max() / 1000}) {
    retries.backoff = backoff;
    std::chrono::milliseconds before{0};
    for (std::size_t attempt = 1; attempt < 100; ++attempt) {
      EXPECT_GE(procpool::detail::backoff_before(attempt, retries), before);
      before = procpool::detail::backoff_before(attempt, retries);
    }
    EXPECT_EQ(before, std::chrono::milliseconds::max());
  }
}

}  // namespace
