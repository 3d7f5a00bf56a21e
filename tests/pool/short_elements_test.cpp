// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Maps of very many, very short elements: they are run from ring to ring and claimed in blocks, and
// every promise holds for each of them all the same.

#include <gtest/gtest.h>

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <numeric>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int many = 100'000;
constexpr int odd_one = 54'321;

std::vector<int> many_numbers(int count = many) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

using tasks::increment;
int crash_at_one(int x) {
  if (x == odd_one) ::raise(SIGKILL);
  return x + 1;
}
int hang_at_one(int x) {
  while (x == odd_one) std::this_thread::sleep_for(1s);
  return x + 1;
}
int throw_at_some(int x) {
  if (x % 1000 == 7) throw std::out_of_range(std::to_string(x));
  return x + 1;
}
int fork_at_one(int x) {
  if (x == odd_one) ::fork();  // both return
  return x + 1;
}
std::uint64_t own_index(int) { return procpool::this_task::index(); }
std::atomic<int> calls{0};
void count_call(int) { ++calls; }
int calls_so_far() { return calls.load(); }

// All outcomes but that of the odd one are right.
void expect_the_others(std::vector<procpool::Outcome<int>> const& outcomes) {
  ASSERT_EQ(outcomes.size(), static_cast<std::size_t>(many));
  int wrong = 0;
  for (int i = 0; i < many; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i == odd_one) {
      EXPECT_FALSE(outcome.has_value());
    } else if (!outcome.has_value() || outcome.value() != i + 1) {
      ++wrong;
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ShortElements, AreAllThereInTheirOrder) {
  procpool::ProcessPool pool{2};
  for (int count : {1, 63, 64, 65, 1000, many}) {
    for (std::size_t chunk : {0u, 1u, 7u, 10'000u}) {
      procpool::CallOptions options;
      if (chunk != 0) options.chunk = chunk;
      auto const results = pool.with(options).map<increment>(many_numbers(count));
      ASSERT_EQ(results.size(), static_cast<std::size_t>(count));
      for (int i = 0; i < count; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i + 1);
    }
  }
}

TEST(ShortElements, ACrashCostsOneOfThem) {
  procpool::ProcessPool pool{2};
  pool.map<crash_at_one>(many_numbers(1000));  // their cost is known
  auto const outcomes = pool.outcomes().map<crash_at_one>(many_numbers());
  expect_the_others(outcomes);
  EXPECT_EQ(support::error_of<procpool::WorkerDied>(outcomes[odd_one]).element(),
            std::uint64_t{odd_one});
}

TEST(ShortElements, ADeadlineEndsOneOfThem) {
  procpool::ProcessPool pool{2};
  pool.map<hang_at_one>(many_numbers(1000));
  auto const outcomes = pool.with({.timeout = 200ms}).outcomes().map<hang_at_one>(many_numbers());
  expect_the_others(outcomes);
  EXPECT_THROW(outcomes[odd_one].error().rethrow(), procpool::TaskTimeout);
}

TEST(ShortElements, CancellingEndsTheOneThatRuns) {
  procpool::ProcessPool pool{2};
  pool.map<hang_at_one>(many_numbers(1000));
  auto results =
      pool.with({.on_error = procpool::OnError::finish}).map_async<hang_at_one>(many_numbers());
  EXPECT_FALSE(results.wait_for(300ms));
  EXPECT_EQ(results.cancel(), procpool::Cancel::ended);
  EXPECT_THROW(results.get(), procpool::TaskCancelled);
  EXPECT_EQ(pool.call<increment>(1), 2);
}

TEST(ShortElements, ThatThrowLeaveTheOthersAlone) {
  procpool::ProcessPool pool{2};
  auto const outcomes = pool.outcomes().map<throw_at_some>(many_numbers());
  for (int i = 0; i < many; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i % 1000 == 7) {
      ASSERT_THROW(outcome.error().rethrow(), std::out_of_range) << i;
    } else {
      ASSERT_EQ(outcome.value(), i + 1);
    }
  }
}

TEST(ShortElements, ThatForkEndTheChild) {
  procpool::ProcessPool pool{2};
  auto const results = pool.map<fork_at_one>(many_numbers());
  for (int i = 0; i < many; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i + 1);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(ShortElements, KnowTheirIndex) {
  procpool::ProcessPool pool{2};
  auto const indices = pool.map<own_index>(many_numbers());
  for (std::size_t i = 0; i < indices.size(); ++i) ASSERT_EQ(indices[i], i);
}

TEST(ShortElements, MayGiveNothingBack) {
  procpool::ProcessPool pool{1};
  pool.map<count_call>(many_numbers());
  EXPECT_EQ(pool.call<calls_so_far>(), many);
}

TEST(ShortElements, MayTakeNothing) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 1000; ++i) futures.push_back(pool.submit<calls_so_far>());
  for (auto& future : futures) EXPECT_EQ(future.get(), 0);
}

}  // namespace
