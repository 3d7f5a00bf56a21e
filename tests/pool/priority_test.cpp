// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Priorities: among what waits, higher ones go first, and ahead of what workers have not begun.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <procpool.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using tasks::noted;
int note_and_stay(int x) {
  noted(x);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return x;
}

TEST(Priority, HigherOnesGoFirstAndEqualOnesInTheirOrder) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  auto busy = pool.submit<note_and_stay>(0);
  ASSERT_TRUE(support::until([&trace] { return trace.size() == 1; }));
  // This one lies ahead in the worker's inbox, until what is more urgent comes.
  auto ahead = pool.submit<noted>(1);
  std::vector<procpool::Future<int>> futures;
  for (int const x : {30, 31}) futures.push_back(pool.with({.priority = -1}).submit<noted>(x));
  for (int const x : {20, 21}) futures.push_back(pool.submit<noted>(x));
  for (int const x : {10, 11}) futures.push_back(pool.with({.priority = 7}).submit<noted>(x));
  pool.join();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{0, 10, 11, 1, 20, 21, 30, 31}));
}

std::int64_t now_ns() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}
std::int64_t begin_of_a_short_one(int) {
  std::int64_t const begin = now_ns();
  while (now_ns() - begin < 100'000) {
  }
  return begin;
}

TEST(Priority, WhatIsUrgentDoesNotWaitForWhatAWorkerHasAhead) {
  procpool::ProcessPool pool{1};
  std::vector<int> const some(50);
  pool.map<begin_of_a_short_one>(some);  // so that chunks are large: 40 of them
  auto rest = pool.map_async<begin_of_a_short_one>(std::vector<int>(3'000));
  std::vector<std::pair<std::int64_t, std::int64_t>> waits;
  for (int i = 0; i < 11; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::int64_t const submitted = now_ns();
    std::int64_t const begun = pool.with({.priority = 1}).call([] { return now_ns(); });
    waits.emplace_back(submitted, begun);
  }
  auto const begins = rest.get();
  ASSERT_EQ(begins.size(), 3'000u);
  std::vector<std::ptrdiff_t> meanwhile;
  for (auto const& [submitted, begun] : waits) {
    meanwhile.push_back(std::ranges::count_if(
        begins, [&](std::int64_t begin) { return submitted < begin && begin < begun; }));
  }
  // Of most of them, because this thread may be kept from the CPU at any time.
  std::ranges::sort(meanwhile);
  EXPECT_LE(meanwhile[meanwhile.size() / 2], 5) << testing::PrintToString(meanwhile);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

}  // namespace
