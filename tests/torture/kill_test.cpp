// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers are killed at random, all the time: every task ends exactly once, with its value or with
// WorkerDied, nothing that was begun runs twice, and the pool works on.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/chaos.hpp"
#include "support/errors.hpp"
#include "support/seed.hpp"
#include "support/trace.hpp"

namespace {

int work(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return 7 * x + 3;
}

// Chaos knows its workers by the name.
procpool::PoolOptions workers(int count) {
  procpool::PoolOptions options;
  options.workers = count;
  options.name = support::chaos_name();
  return options;
}

template <class Get>
void count_end(int x, std::vector<int>& values, std::vector<int>& deaths, Get get) {
  try {
    EXPECT_EQ(get(), 7 * x + 3);
    ++values[static_cast<std::size_t>(x)];
  } catch (procpool::WorkerDied const& died) {
    EXPECT_EQ(died.signal(), SIGKILL) << died.what();
    ++deaths[static_cast<std::size_t>(x)];
  }
}

// A death is blamed on something that was begun or was about to be; a value has been made exactly
// once.
void expect_begun_at_most_once(support::Trace const& trace, std::vector<int> const& values) {
  auto const counts = trace.counts();
  for (auto const& [x, count] : counts) EXPECT_EQ(count, 1) << "element " << x;
  for (std::size_t x = 0; x < values.size(); ++x) {
    if (values[x] != 0) {
      EXPECT_TRUE(counts.contains(static_cast<std::int64_t>(x))) << x;
    }
  }
}

}  // namespace

TEST(Torture, RandomKillsDuringSubmits) {
  support::Trace trace;
  int const tasks = support::rounds(1'000, 300);
  std::vector<int> values(static_cast<std::size_t>(tasks));
  std::vector<int> deaths(static_cast<std::size_t>(tasks));
  procpool::ProcessPool pool{workers(4)};
  std::vector<procpool::Future<int>> futures;
  support::Chaos killer(support::new_seed());
  for (int x = 0; x < tasks; ++x) futures.push_back(pool.submit<work>(x));
  for (int x = 0; x < tasks; ++x) {
    auto& future = futures[static_cast<std::size_t>(x)];
    ASSERT_TRUE(future.wait_for(std::chrono::seconds(40))) << "task " << x << " hangs";
    count_end(x, values, deaths, [&] { return future.get(); });
  }
  auto const kills = killer.stop().kills;
  EXPECT_GT(kills, 0u);
  expect_begun_at_most_once(trace, values);
  EXPECT_EQ(pool.call([](int x) { return x; }, 5), 5);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_LE(stats.worker_deaths, kills);
}

TEST(Torture, RandomKillsDuringMaps) {
  support::Trace trace;
  int const tasks = support::rounds(1'000, 300);
  unsigned const seed = support::new_seed();
  for (int const chunk : {0, 1, 50}) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    trace.clear();
    std::vector<int> values(static_cast<std::size_t>(tasks));
    std::vector<int> deaths(static_cast<std::size_t>(tasks));
    std::vector<int> inputs(static_cast<std::size_t>(tasks));
    for (int x = 0; x < tasks; ++x) inputs[static_cast<std::size_t>(x)] = x;
    procpool::ProcessPool pool{workers(4)};
    support::Chaos killer(seed + static_cast<unsigned>(chunk));
    auto const outcomes = chunk == 0 ? pool.outcomes().map<work>(inputs)
                                     : pool.with({.chunk = chunk}).outcomes().map<work>(inputs);
    killer.stop();
    ASSERT_EQ(outcomes.size(), inputs.size());
    for (int x = 0; x < tasks; ++x) {
      auto const& outcome = outcomes[static_cast<std::size_t>(x)];
      if (!outcome.has_value()) {
        EXPECT_EQ(support::error_of<procpool::WorkerDied>(outcome).element(),
                  static_cast<std::uint64_t>(x));
      }
      count_end(x, values, deaths, [&] { return outcome.value(); });
    }
    expect_begun_at_most_once(trace, values);
    EXPECT_EQ(pool.call([](int x) { return x; }, 5), 5);
  }
}

// Large messages in both directions are in flight most of the time.
TEST(Torture, RandomKillsDuringLargeMessages) {
  auto const echo = [](std::string text) { return text; };
  std::string const text(3'000'000, 'k');
  procpool::ProcessPool pool{workers(3)};
  support::Chaos killer(support::new_seed());
  int values = 0;
  int deaths = 0;
  for (int round = 0; round < support::rounds(12, 3); ++round) {
    std::vector<procpool::Future<std::string>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(echo, text));
    for (auto& future : futures) {
      ASSERT_TRUE(future.wait_for(std::chrono::seconds(40)));
      try {
        EXPECT_TRUE(future.get() == text);
        ++values;
      } catch (procpool::WorkerDied const&) {
        ++deaths;
      }
    }
  }
  killer.stop();
  EXPECT_GT(values, 0) << "and " << deaths << " deaths";
  EXPECT_EQ(pool.call(echo, text).size(), text.size());
}

// Pools that come and go under stress.
TEST(Torture, RandomKillsWhilePoolsEnd) {
  support::Chaos killer(support::new_seed());
  for (int round = 0; round < support::rounds(60, 10); ++round) {
    std::vector<procpool::Future<int>> futures;
    {
      procpool::ProcessPool pool{workers(3)};
      for (int x = 0; x < 30; ++x) {
        futures.push_back(pool.submit(
            [](int y) {
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
              return y;
            },
            x));
      }
      if (round % 3 == 1) pool.shutdown(procpool::End::cancel);
      if (round % 3 == 2) pool.terminate();
    }
    for (int x = 0; x < 30; ++x) {
      auto& future = futures[static_cast<std::size_t>(x)];
      ASSERT_TRUE(future.ready());
      try {
        EXPECT_EQ(future.get(), x);
      } catch (procpool::WorkerDied const&) {
      } catch (procpool::TaskCancelled const&) {
        EXPECT_NE(round % 3, 0);
      }
    }
  }
}
