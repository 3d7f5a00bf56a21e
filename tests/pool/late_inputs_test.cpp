// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Inputs that were read while an earlier element failed, and handed over after it: they never run.

#include <gtest/gtest.h>

#include <procpool.hpp>
#include <stdexcept>
#include <vector>

#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

constexpr int failing = 0;
constexpr int handed_over_first = 256 + 512;  // the first input buffers; the third is not full
constexpr int read = 1'500;

int note_or_fail(int x) {
  support::Trace::note(x);
  if (x == failing) throw std::out_of_range("not here");
  return x;
}

TEST(LateInputs, BehindAFailureNeverRun) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  auto const cancelled = [&pool] { return pool.stats().done >= handed_over_first; };
  // The last ones read wait in an input buffer that is not full while the failure becomes known.
  auto inputs = std::views::iota(0, read) | std::views::transform([&](int x) {
                  if (x == read - 1 && !support::until(cancelled)) ADD_FAILURE();
                  return x;
                });
  EXPECT_THROW(pool.with({.chunk = 1}).map<note_or_fail>(inputs), std::out_of_range);
  for (auto const& [element, times] : trace.counts()) {
    EXPECT_LT(element, handed_over_first);
    EXPECT_EQ(times, 1);
  }
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
}

}  // namespace
