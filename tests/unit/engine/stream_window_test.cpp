// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// StreamWindow: never more than the window, never nothing when nothing is under way, and how it
// grows and shrinks.

#include <procpool/detail/operations/stream_window.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

using procpool::detail::StreamWindow;

namespace {

StreamWindow automatic(std::size_t workers) { return {std::nullopt, 0, workers}; }

}  // namespace

TEST(StreamWindow, GivenIsKeptTo) {
  for (std::size_t const given : {1u, 2u, 3u, 16u, 1000u}) {
    StreamWindow window(given, 0, 4);
    EXPECT_EQ(window.size(), given);
    window.taken(1'000'000, 8, {});
    EXPECT_EQ(window.size(), given);
    window.taken(1, std::uint64_t{1} << 40, {});
    EXPECT_EQ(window.size(), given);
  }
}

TEST(StreamWindow, NotGivenBeginsWithSomeForEachWorker) {
  EXPECT_EQ(automatic(1).size(), StreamWindow::begin_per_worker);
  EXPECT_EQ(automatic(7).size(), 7 * StreamWindow::begin_per_worker);
  // Two chunks for each worker, if that is more.
  EXPECT_EQ(StreamWindow(std::nullopt, 1, 7).size(), 7 * StreamWindow::begin_per_worker);
  EXPECT_EQ(StreamWindow(std::nullopt, 100, 7).size(), 1400u);
}

// Whatever has been taken and is under way: within the window, in whole chunks where there is room
// for one, and never nothing for ever.
TEST(StreamWindow, RefillFitsAndNeverStarves) {
  for (std::size_t const size : {1u, 2u, 3u, 5u, 16u, 17u, 100u, 1000u}) {
    for (std::size_t const chunk : {0u, 1u, 2u, 3u, 7u, 16u, 100u, 5000u}) {
      StreamWindow const window(size, chunk, 2);
      EXPECT_GT(window.refill(0), 0u) << size << ' ' << chunk;
      for (std::uint64_t outstanding = 0; outstanding <= size + 5; ++outstanding) {
        std::uint64_t const more = window.refill(outstanding);
        if (outstanding >= size) {
          EXPECT_EQ(more, 0u);
        } else {
          EXPECT_LE(outstanding + more, size) << size << ' ' << chunk << ' ' << outstanding;
        }
        if (chunk > 1 && chunk <= size) {
          EXPECT_EQ(more % chunk, 0u) << size << ' ' << chunk << ' ' << outstanding;
        }
      }
    }
  }
}

TEST(StreamWindow, RefillWaitsForAQuarter) {
  StreamWindow const window(16, 0, 2);
  EXPECT_EQ(window.refill(0), 16u);
  EXPECT_EQ(window.refill(12), 4u);
  EXPECT_EQ(window.refill(13), 0u);
  EXPECT_EQ(window.refill(15), 0u);
  EXPECT_EQ(StreamWindow(3, 0, 2).refill(2), 1u);
}

TEST(StreamWindow, RefillWaitsForAChunk) {
  StreamWindow const window(16, 5, 2);
  EXPECT_EQ(window.refill(0), 15u);
  EXPECT_EQ(window.refill(6), 10u);
  EXPECT_EQ(window.refill(7), 5u);
  EXPECT_EQ(window.refill(11), 5u);
  EXPECT_EQ(window.refill(12), 0u);
  // A chunk that the window cannot hold is as much as it can.
  EXPECT_EQ(StreamWindow(4, 100, 2).refill(0), 4u);
  EXPECT_EQ(StreamWindow(4, 100, 2).refill(1), 0u);
}

TEST(StreamWindow, GrowsByDoublingWheneverAllOfItWasTaken) {
  StreamWindow window = automatic(2);
  window.taken(7, 8, {});
  EXPECT_EQ(window.size(), 8u);
  window.taken(1, 8, {});
  EXPECT_EQ(window.size(), 16u);
  for (int i = 0; i < 15; ++i) window.taken(1, 8, {});
  EXPECT_EQ(window.size(), 16u);
  window.taken(1, 8, {});
  EXPECT_EQ(window.size(), 32u);
}

TEST(StreamWindow, GrowsNoFurtherThanItsMost) {
  StreamWindow window = automatic(3);
  for (int i = 0; i < 100; ++i) window.taken(10'000, 8, {});
  EXPECT_EQ(window.size(), 3 * StreamWindow::max_per_worker);
  StreamWindow wide(std::nullopt, 5000, 3);
  for (int i = 0; i < 100; ++i) wide.taken(100'000, 8, {});
  EXPECT_EQ(wide.size(), 60'000u);
}

TEST(StreamWindow, DoesNotGrowWhereItLastsLongEnough) {
  StreamWindow window = automatic(2);
  StreamWindow::TimePoint now{};
  for (int i = 0; i < 20; ++i) window.taken(8, 8, now += StreamWindow::long_enough);
  EXPECT_EQ(window.size(), 8u);
  window.taken(8, 8, now += StreamWindow::long_enough / 2);
  EXPECT_EQ(window.size(), 16u);
}

TEST(StreamWindow, HoldsNoMoreThanItsBytes) {
  StreamWindow window = automatic(2);
  std::uint64_t const each = std::uint64_t{1} << 20;
  for (int i = 0; i < 100; ++i) window.taken(1000, each, {});
  EXPECT_EQ(window.size(), StreamWindow::max_bytes / each);
  EXPECT_LE(window.size() * each, StreamWindow::max_bytes);
  // Larger elements make it smaller, at once, but not too small to keep everybody busy.
  window.taken(1, 4 * each, {});
  EXPECT_EQ(window.size(), StreamWindow::max_bytes / (4 * each));
  window.taken(1, std::uint64_t{1} << 40, {});
  EXPECT_EQ(window.size(), 2 * StreamWindow::min_per_worker);
  EXPECT_EQ(window.refill(100), 0u);
  // And smaller ones let it grow again.
  for (int i = 0; i < 100; ++i) window.taken(1000, 8, {});
  EXPECT_EQ(window.size(), 2 * StreamWindow::max_per_worker);
}

TEST(StreamWindow, ElementsOfNoBytesAreNoDivisionByZero) {
  StreamWindow window = automatic(1);
  window.taken(4, 0, {});
  EXPECT_EQ(window.size(), 8u);
}
