// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// submit, call and futures.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <procpool.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using tasks::square;
using tasks::who;
int slow_for(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}
int square_behind(int x, std::string const& gate) {
  if (!gate.empty()) support::wait_at(gate);
  return x * x;
}
int refuse(int x) { throw std::invalid_argument("not " + std::to_string(x)); }

}  // namespace

TEST(Submit, RunsElsewhere) {
  procpool::ProcessPool pool{1};
  pid_t const worker = pool.submit<who>().get();
  EXPECT_NE(worker, ::getpid());
  EXPECT_EQ(pool.call<who>(), worker);
}

TEST(Submit, OneTaskStartsOneWorker) {
  procpool::ProcessPool pool{4};
  EXPECT_EQ(pool.stats().worker_starts, 0u);
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

// A worker that is idle is used before another is started.
TEST(Submit, OneAfterTheOtherStartsOneWorker) {
  procpool::ProcessPool pool{4};
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.call<square>(i), i * i);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

TEST(Submit, NeverStartsMoreThanItsWorkers) {
  procpool::ProcessPool pool{3};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 45; ++i) futures.push_back(pool.submit<slow_for>(2));
  for (auto& future : futures) EXPECT_EQ(future.get(), 2);
  EXPECT_LE(pool.stats().worker_starts, 3u);
  EXPECT_LE(pool.stats().workers, 3u);
}

TEST(Submit, ManyTakenInRandomOrder) {
  procpool::ProcessPool pool{2};
  int const count = support::rounds(10'000, 2'000);
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < count; ++i) futures.push_back(pool.submit<square>(i));
  std::vector<int> order(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(42));
  for (int const i : order) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
}

TEST(Submit, FromManyThreadsAtOnce) {
  procpool::ProcessPool pool{2};
  int const each = support::rounds(1'000, 200);
  std::vector<std::thread> threads;
  std::vector<int> wrong(8, -1);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      int bad = 0;
      std::vector<procpool::Future<int>> futures;
      for (int i = 0; i < each; ++i) {
        futures.push_back(pool.submit<square>(1000 * t + i));
        if (i % 7 == 0) bad += pool.call<square>(i) != i * i;
        if (i % 100 == 0) bad += pool.map<square>(std::vector{i, i + 1}).at(1) != (i + 1) * (i + 1);
      }
      for (int i = 0; i < each; ++i) {
        int const x = 1000 * t + i;
        bad += futures[static_cast<std::size_t>(i)].get() != x * x;
      }
      wrong[static_cast<std::size_t>(t)] = bad;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(8, 0));
}

// Short calls may wait until several can go together, but for somebody who waits, or looks.
TEST(Submit, NobodyNeedsToWaitForCallsThatComeInGreatNumbers) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.call<square>(i), i * i);
  for (int round = 0; round < support::rounds(300, 60); ++round) {
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < 5 + round % 60; ++i) futures.push_back(pool.submit<square>(i));
    ASSERT_TRUE(support::until([&] {
      return std::ranges::all_of(futures, [](auto const& f) { return f.ready(); });
    })) << round;
  }
}

TEST(Submit, ShortCallsDoNotStayBehindALongOneOfTheirKind) {
  procpool::ProcessPool pool{2};
  support::Gate gate;
  auto const call = [&](std::string path) {
    return pool.submit<square_behind>(7, std::move(path));
  };
  auto const many = [&] {
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < 100; ++i) futures.push_back(call(""));
    return futures;
  };
  for (auto& future : many()) future.get();  // both workers are there, and the costs are known
  auto before = many();
  auto long_one = call(gate.path());
  auto behind = many();
  for (auto* futures : {&before, &behind}) {
    EXPECT_TRUE(support::until(
        [&] { return std::ranges::all_of(*futures, [](auto const& f) { return f.ready(); }); }));
  }
  EXPECT_FALSE(long_one.ready());
  gate.open();
  EXPECT_EQ(long_one.get(), 49);
}

TEST(Submit, UsesAllWorkers) {
  procpool::ProcessPool pool{3};
  // Three tasks that wait for each other's pids would deadlock with fewer; sleeping ones just take
  // longer, and show as many pids.
  EXPECT_TRUE(support::until([&] {
    std::vector<procpool::Future<pid_t>> futures;
    for (int i = 0; i < 3; ++i) {
      futures.push_back(pool.submit([] {
        std::this_thread::sleep_for(20ms);
        return ::getpid();
      }));
    }
    std::vector<pid_t> pids;
    for (auto& future : futures) pids.push_back(future.get());
    std::ranges::sort(pids);
    return std::ranges::adjacent_find(pids) == pids.end();
  }));
}

TEST(Future, WaitsAsLongAsItIsTold) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<slow_for>(300);
  EXPECT_FALSE(future.ready());
  support::Stopwatch watch;
  EXPECT_FALSE(future.wait_for(20ms));
  EXPECT_GE(watch.passed(), 20ms);
  EXPECT_TRUE(future.wait_for(20s));
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(future.get(), 300);
}

// A wait that ran out costs the task nothing.
TEST(Future, WaitInVainLosesNothing) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<slow_for>(100);
  while (!future.wait_for(1ms)) {
  }
  EXPECT_EQ(future.get(), 100);
}

TEST(Future, MovesToAnotherThread) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<slow_for>(20);
  int result = 0;
  std::thread([&result, moved = std::move(future)]() mutable { result = moved.get(); }).join();
  EXPECT_EQ(result, 20);
}

TEST(Future, ThrowsWhatTheTaskThrew) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<refuse>(7);
  auto const error =
      support::thrown_by<procpool::FromWorker<std::invalid_argument>>([&] { future.get(); });
  EXPECT_STREQ(error.what(), "not 7");
  EXPECT_THROW(pool.call<refuse>(8), std::invalid_argument);
}

// A future that nobody asks is no task that nobody runs, nor one that somebody waits for.
TEST(Future, MayBeDropped) {
  procpool::ProcessPool pool{1};
  {
    auto const dropped = pool.submit<slow_for>(10);
  }
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_TRUE(support::until([&] { return pool.stats().done == 2; }));
}

TEST(Map, ThrowsTheFirstFailureByIndex) {
  procpool::ProcessPool pool{2};
  auto const odd_fails = [](int x) {
    // The later the sooner, so that the first in time is not the first by index.
    std::this_thread::sleep_for(std::chrono::milliseconds(20 - x));
    if (x % 2 == 1) throw std::out_of_range("element " + std::to_string(x));
    return x;
  };
  auto const error = support::thrown_by<procpool::FromWorker<std::out_of_range>>(
      [&] { pool.with({.chunk = 1}).map(odd_fails, std::vector{0, 2, 5, 4, 7, 9, 11}); });
  EXPECT_STREQ(error.what(), "element 5");
  // The pool is none the worse for it.
  EXPECT_EQ(pool.call<square>(5), 25);
}

TEST(Options, WhatMakesNoSenseIsRefused) {
  EXPECT_THROW(procpool::ProcessPool{0}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{-1}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{1'000'000}, std::invalid_argument);
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.chunk = 0}).map<square>(std::vector{1}), std::invalid_argument);
  EXPECT_THROW(pool.with({.chunk = -3}).map<square>(std::vector{1}), std::invalid_argument);
  // submit has no chunks.
  EXPECT_THROW(static_cast<void>(pool.with({.chunk = 2}).submit<square>(1)), std::invalid_argument);
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(Options, WorkersByDefaultAreTheUsableCpus) {
  procpool::ProcessPool pool;
  EXPECT_EQ(pool.size(), procpool::cpu_count());
  EXPECT_EQ(procpool::ProcessPool(procpool::PoolOptions{.workers = 5}).size(), 5u);
}
