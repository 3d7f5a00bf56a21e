// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Long streams: memory stays flat, and kills cost one element each.

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <procpool.hpp>
#include <ranges>

#include "support/build.hpp"
#include "support/descriptors.hpp"

namespace {

std::uint64_t square(std::uint64_t x) { return x * x; }
std::uint64_t square_or_die(std::uint64_t x) {
  if (x % 1'000 == 999) ::raise(SIGKILL);
  return x * x;
}

TEST(LongStream, TenMillionSquaresInFlatMemory) {
  auto const elements = static_cast<std::uint64_t>(support::rounds(10'000'000, 500'000));
  procpool::ProcessPool pool{2};
  std::uint64_t next = 0;
  long early = 0;
  long most = 0;
  for (std::uint64_t const result :
       pool.imap<square>(std::views::iota(std::uint64_t{0}, elements))) {
    ASSERT_EQ(result, next * next);
    ++next;
    if (next == elements / 10) early = support::resident_kib();
    if (next % (elements / 100) == 0) most = std::max(most, support::resident_kib());
  }
  EXPECT_EQ(next, elements);
  RecordProperty("resident_early_kib", static_cast<int>(early));
  RecordProperty("resident_most_kib", static_cast<int>(most));
  // A sanitizer keeps freed memory for a while.
  if (!support::sanitized) {
    EXPECT_LT(most - early, 4 * 1024) << "KiB grew between a tenth and the end";
  }
}

TEST(LongStream, UnorderedGivesEachOnceUnderKills) {
  auto const elements = static_cast<std::uint64_t>(support::rounds(200'000, 20'000));
  procpool::ProcessPool pool{2};
  std::vector<bool> seen(elements);
  std::uint64_t died = 0;
  auto stream = pool.imap_unordered<square_or_die>(std::views::iota(std::uint64_t{0}, elements));
  for (auto it = stream.begin(); it != stream.end(); ++it) {
    try {
      auto const [index, value] = *it;
      ASSERT_EQ(value, index * index);
      ASSERT_FALSE(seen[index]);
      seen[index] = true;
    } catch (procpool::WorkerDied const& error) {
      ASSERT_EQ(error.element() % 1'000, 999u);
      ++died;
    }
  }
  EXPECT_EQ(died, elements / 1'000);
  EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(seen, true)), elements - died);
}

}  // namespace
