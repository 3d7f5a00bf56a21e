// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How many workers there are, and for how long: resize() and LifetimeOptions.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/memory.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

using tasks::who_after;
using tasks::who_runs;
pid_t noted_who_after(int milliseconds) {
  support::Trace::note(milliseconds);
  return who_after(milliseconds);
}
using tasks::after;
using tasks::noted_after;
using tasks::square;
int sometimes_dies_slowly(int x) {
  if (x % 50 == 7) ::raise(SIGKILL);
  std::this_thread::sleep_for(200us);
  return x;
}
// Ends only when so many have begun.
int waits_for_all(int number) {
  support::Trace::note(number);
  support::until([number] { return support::Trace::seen(number) >= number; });
  return support::Trace::seen(number);
}
pid_t grows_by(int megabytes) {
  static std::vector<std::vector<char>> kept;
  kept.emplace_back(static_cast<std::size_t>(megabytes) << 20, 'x');
  return ::getpid();
}

std::set<pid_t> of(std::vector<pid_t> const& pids) { return {pids.begin(), pids.end()}; }

// ---- resize

TEST(Resize, MoreWorkersTakePart) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.size(), 1u);
  auto results = pool.map_async<waits_for_all>(std::vector<int>(4, 4));
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  pool.resize(4);
  EXPECT_EQ(pool.size(), 4u);
  // All at once now, though one has begun before, and had another ahead of it.
  EXPECT_EQ(results.get(), std::vector<int>(4, 4));
  EXPECT_EQ(pool.stats().worker_starts, 4u);
}

TEST(Resize, FewerGoOnAndNothingIsLost) {
  procpool::ProcessPool pool{4};
  auto results = pool.map_async<after>(std::vector<int>(40, 50));
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 4; }));
  pool.resize(1);
  EXPECT_EQ(results.get().size(), 40u);
  ASSERT_TRUE(support::until([&] { return pool.stats().workers_resized == 3; }));
  auto const stats = pool.stats();
  EXPECT_EQ(stats.workers, 1u);
  EXPECT_EQ(stats.worker_deaths, 0u);
  EXPECT_EQ(of(pool.map<who_runs>(std::views::iota(0, 50))).size(), 1u);
}

// A surplus worker finishes the element that it runs.
TEST(Resize, ALeavingWorkerEndsWhatItRuns) {
  support::Trace const trace;
  // However long that takes: the grace is for leaving, not for working.
  procpool::ProcessPool pool{{.workers = 3, .shutdown = {.stop_grace = 200ms}}};
  auto results = pool.map_async<noted_after>(std::vector<int>(3, 1000));
  ASSERT_TRUE(support::until([&] { return trace.size() == 3; }));
  pool.resize(1);
  EXPECT_EQ(results.get(), std::vector<int>(3, 1000));
  EXPECT_EQ(trace.size(), 3u);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Resize, WhatALeavingWorkerHadNotBegunGoesToOthers) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  pool.map<after>(std::vector<int>(2, 20));
  ASSERT_TRUE(support::until([&] {
    if (pool.stats().workers == 2) return true;
    pool.map<after>(std::vector<int>(8, 20));
    return false;
  }));
  auto const records = pool.stats().records;
  // Two run, one more is ahead of each.
  auto results = pool.with({.chunk = 1}).map_async<noted_who_after>(std::vector<int>(4, 1000));
  ASSERT_TRUE(support::until([&] { return pool.stats().records == records + 4; }));
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  pid_t const remaining = pool.worker_stats()[0].pid;
  pool.resize(1);
  auto const pids = results.get();
  EXPECT_EQ(std::ranges::count(pids, remaining), 3);
}

TEST(Resize, ManyTimesUnderLoadAndCrashes) {
  procpool::ProcessPool pool{1};
  int const elements = support::rounds(1000, 200);
  auto results = pool.with({.on_error = procpool::OnError::finish, .retries = {.times = 1}})
                     .map_async<sometimes_dies_slowly>(std::views::iota(0, elements));
  int const sizes[] = {16, 2, 8, 1, 3, 16, 5};
  for (int i = 0; !results.ready(); ++i) {
    int const size = sizes[static_cast<std::size_t>(i) % std::size(sizes)];
    pool.resize(size);
    EXPECT_EQ(pool.size(), static_cast<unsigned>(size));
    std::this_thread::sleep_for(3ms);  // a little work for each size
  }
  EXPECT_THROW(results.get(), procpool::WorkerDied);  // twice on the same element
  EXPECT_EQ(pool.stats().done, static_cast<std::uint64_t>(elements));
  pool.resize(2);
  EXPECT_EQ(pool.map<square>(std::views::iota(0, 100)).back(), 99 * 99);
  ASSERT_TRUE(support::until([&] { return pool.stats().workers <= 2; }));
}

TEST(Resize, BeforeTheFirstCallAndFromManyThreads) {
  procpool::ProcessPool pool{2};
  pool.resize(5);
  std::vector<std::thread> threads;
  for (int i = 1; i <= 8; ++i) {
    threads.emplace_back([&pool, i] {
      for (int round = 0; round < 20; ++round) {
        pool.resize(1 + (i + round) % 6);
        EXPECT_EQ(pool.call<square>(i), i * i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, 160u);
  EXPECT_EQ(stats.worker_deaths, 0u);
}

TEST(Resize, GrowsWhileWorkersAreMade) {
  for (int round = 0; round < support::rounds(10, 3); ++round) {
    procpool::ProcessPool pool{1};
    auto results = pool.with({.chunk = 1}).map_async<after>(std::vector<int>(5, 1));
    for (int size = 2; size <= 1000; ++size) pool.resize(size);
    EXPECT_EQ(results.get().size(), 5u);
  }
}

TEST(Resize, ToWhatMakesNoSenseIsRefused) {
  procpool::ProcessPool pool{2};
  for (int const size : {0, -1, 5000}) EXPECT_THROW(pool.resize(size), std::invalid_argument);
  EXPECT_EQ(pool.size(), 2u);
}

// ---- idle workers

TEST(IdleTimeout, IdleWorkersLeaveAndComeBack) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.idle_timeout = 50ms}}};
  auto const first = of(pool.map<who_runs>(std::views::iota(0, 20)));
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 0; }));
  for (pid_t const pid : first) {
    EXPECT_TRUE(support::until([pid] { return !support::alive(pid); }));
  }
  auto const second = of(pool.map<who_runs>(std::views::iota(0, 20)));
  for (pid_t const pid : second) EXPECT_FALSE(first.contains(pid));
  // A worker that is gone is counted when the dispatcher has seen it.
  EXPECT_TRUE(support::until([&] { return pool.stats().workers_left_idle >= 1; }));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(IdleTimeout, ABusyWorkerStays) {
  procpool::ProcessPool pool{{.workers = 1, .lifetime = {.idle_timeout = 100ms}}};
  EXPECT_EQ(pool.call<after>(400), 400);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

// Calls that come just when a worker leaves are not lost.
TEST(IdleTimeout, AtTheBoundary) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.idle_timeout = 2ms}}};
  for (int i = 0; i < support::rounds(200, 40); ++i) {
    EXPECT_EQ(pool.call<square>(i), i * i);
    std::this_thread::sleep_for(std::chrono::microseconds(1500 + 40 * (i % 40)));
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

// ---- replaced after a time, or when too large

TEST(RecycleAfter, WorkersAreReplacedInTheMiddleOfWork) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.recycle_after = 100ms}}};
  auto const pids = pool.map<who_after>(std::vector<int>(400, 2));
  EXPECT_GE(of(pids).size(), 4u);
  auto const stats = pool.stats();
  EXPECT_GE(stats.workers_recycled, 2u);
  EXPECT_EQ(stats.worker_deaths, 0u);
}

TEST(RecycleAfter, WhatRunsLongerThanAllTimesIsNotDisturbed) {
  procpool::ProcessPool pool{
      {.workers = 1, .lifetime = {.recycle_after = 100ms}, .shutdown = {.stop_grace = 100ms}}};
  EXPECT_EQ(pool.map<after>(std::vector<int>(3, 500)), std::vector<int>(3, 500));
  ASSERT_TRUE(support::until([&] { return pool.stats().workers_recycled >= 2; }));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(RecycleAbove, ALargeWorkerBeginsNothingMore) {
  // Above what it begins with, which under a sanitizer is a lot.
  procpool::ProcessPool pool{{.workers = 1,
                              .lifetime = {.recycle_above = support::resident_of_a_worker() +
                                                            (std::uint64_t{200} << 20)}}};
  pid_t const worker = pool.call<who_runs>(1);
  EXPECT_EQ(pool.call<grows_by>(10), worker);
  EXPECT_EQ(pool.call<grows_by>(10), worker);
  // All of these are given to one worker at once; from the one that makes it large on, others run
  // them.
  auto const pids = pool.with({.chunk = 5}).map<grows_by>(std::vector<int>{1, 400, 1, 1, 400});
  EXPECT_EQ(pids[0], worker);
  EXPECT_EQ(pids[1], worker);
  EXPECT_NE(pids[2], worker);
  EXPECT_EQ(pids[2], pids[3]);
  EXPECT_EQ(pids[3], pids[4]);
  EXPECT_NE(pool.call<who_runs>(1), pids[4]);
  ASSERT_TRUE(support::until([&] { return pool.stats().workers_recycled == 2; }));
  auto const stats = pool.stats();
  EXPECT_EQ(stats.worker_deaths, 0u);
  EXPECT_EQ(stats.worker_starts, 3u);
}

TEST(Recycling, TheFirstWorkersAreNotReplacedTogether) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 20}}};
  std::map<pid_t, int> served;
  for (int i = 0; i < 200; ++i) ++served[pool.with({.key = i % 2}).call<who_runs>(i)];
  std::set<int> counts;
  for (auto const& [pid, count] : served) {
    EXPECT_LE(count, 20);
    counts.insert(count);
  }
  EXPECT_GE(counts.size(), 2u);
}

}  // namespace
