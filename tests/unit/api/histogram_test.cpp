// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Histogram: the buckets, and what the quantiles of known distributions are.

#include <procpool/histogram.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

namespace histogram_test {
namespace {

using namespace std::chrono_literals;
using procpool::Histogram;
using std::chrono::nanoseconds;

std::size_t bucket_of(nanoseconds duration) {
  Histogram one;
  one.add(duration);
  for (std::size_t i = 0; i < Histogram::buckets; ++i) {
    if (one.count(i) == 1) return i;
  }
  return Histogram::buckets;
}

TEST(Histogram, PutsEachDurationBelowTheBoundOfItsBucket) {
  EXPECT_EQ(bucket_of(0ns), 0u);
  EXPECT_EQ(bucket_of(-5ns), 0u);
  for (std::size_t i = 0; i + 1 < Histogram::buckets; ++i) {
    nanoseconds const bound = Histogram::bound(i);
    EXPECT_EQ(bucket_of(bound - 1ns), i) << bound.count();
    EXPECT_EQ(bucket_of(bound), i + 1) << bound.count();
    if (i != 0) {
      // Four for each doubling.
      auto const width = static_cast<double>((bound - Histogram::bound(i - 1)).count());
      EXPECT_LE(width / static_cast<double>(Histogram::bound(i - 1).count()), 0.25);
    }
  }
  EXPECT_EQ(bucket_of(nanoseconds::max()), Histogram::buckets - 1);
  EXPECT_EQ(Histogram::bound(0), 256ns);
  EXPECT_EQ(Histogram::bound(Histogram::buckets - 2), nanoseconds(std::int64_t{1} << 42));
  EXPECT_EQ(Histogram::bound(Histogram::buckets - 1), nanoseconds::max());
  EXPECT_THROW(Histogram::bound(Histogram::buckets), std::out_of_range);
  EXPECT_THROW(static_cast<void>(Histogram().count(Histogram::buckets)), std::out_of_range);
}

TEST(Histogram, GivesQuantilesWithinAFifth) {
  std::mt19937 random(7);
  std::lognormal_distribution<double> length(std::log(50'000.0), 2.0);
  std::vector<std::int64_t> all;
  Histogram histogram;
  for (int i = 0; i < 100'000; ++i) {
    all.push_back(300 + static_cast<std::int64_t>(length(random)));
    histogram.add(nanoseconds(all.back()));
  }
  std::ranges::sort(all);
  for (double const part : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    auto const exact =
        static_cast<double>(all[static_cast<std::size_t>(part * static_cast<double>(all.size()))]);
    auto const told = static_cast<double>(histogram.quantile(part).count());
    EXPECT_NEAR(told / exact, 1, 0.2) << part;
  }
  EXPECT_LE(histogram.quantile(0), histogram.quantile(1));
}

TEST(Histogram, CountsAndAdds) {
  Histogram a;
  EXPECT_EQ(a.quantile(0.5), 0ns);
  EXPECT_EQ(a.mean(), 0ns);
  a.add(10us);
  a.add(20us, 3);
  a.add(5us, 0);
  EXPECT_EQ(a.count(), 4u);
  EXPECT_EQ(a.sum(), 70us);
  EXPECT_EQ(a.mean(), 17'500ns);
  Histogram b;
  b.add(1s);
  b += a;
  EXPECT_EQ(b.count(), 5u);
  EXPECT_EQ(b.sum(), 1s + 70us);
  EXPECT_NE(a, b);
  EXPECT_GT(b.quantile(1), 900ms);
  EXPECT_LT(b.quantile(0.7), 25us);
}

TEST(Histogram, TheSumNeverOverflows) {
  Histogram histogram;
  histogram.add(nanoseconds::max(), 3);
  histogram.add(nanoseconds::max(), std::numeric_limits<std::uint64_t>::max() / 2);
  histogram += histogram;
  EXPECT_EQ(histogram.sum().count(), std::int64_t{1} << 62);
  EXPECT_EQ(histogram.quantile(0.5), Histogram::bound(Histogram::buckets - 2));
}

TEST(Histogram, RefusesAPartThatIsNone) {
  Histogram const histogram;
  EXPECT_THROW(static_cast<void>(histogram.quantile(1.5)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(histogram.quantile(-0.1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(histogram.quantile(std::numeric_limits<double>::quiet_NaN())),
               std::invalid_argument);
}

}  // namespace
}  // namespace histogram_test
