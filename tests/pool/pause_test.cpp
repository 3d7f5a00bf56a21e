// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// pause and resume: nothing begins, nothing is lost, and no end of the pool hangs.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace pause_test {
namespace {

using namespace std::chrono_literals;

using tasks::noted;
using tasks::square;
using tasks::waits_at;

class Pause : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::PoolOptions options(int workers) const {
    procpool::PoolOptions made;
    made.workers = workers;
    made.start.method = GetParam();
    return made;
  }
  support::Trace const trace_;
  support::Gate const gate_;
};
INSTANTIATE_TEST_SUITE_P(, Pause,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(Pause, WhatRunsGoesOnAndNothingElseBegins) {
  procpool::ProcessPool pool{options(2)};
  auto running = pool.submit<waits_at>(gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  pool.pause();
  pool.pause();
  std::vector<procpool::Future<int>> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(pool.submit<noted>(i));
  gate_.open();
  running.get();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.queued, 100u);
  EXPECT_EQ(stats.running, 0u);
  // A worker that has nothing to do would begin one at once.
  EXPECT_FALSE(support::until([&] { return trace_.size() != 1; }, 100ms));
  pool.resume();
  pool.resume();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(waiting[static_cast<std::size_t>(i)].get(), i);
  EXPECT_EQ(trace_.size(), 101u);
}

// Elements that a worker had been given come back, and run once.
TEST_P(Pause, WhatWorkersHaveNotBegunComesBack) {
  procpool::ProcessPool pool{options(1)};
  pool.map<square>(std::views::iota(0, 1000));  // the cost of an element is known
  auto running = pool.submit<waits_at>(gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  auto results = pool.with({.chunk = 10}).map_async<noted>(std::views::iota(0, 50));
  pool.pause();
  gate_.open();
  running.get();
  EXPECT_FALSE(support::until([&] { return trace_.size() != 1; }, 100ms));
  EXPECT_EQ(pool.stats().queued, 50u);
  pool.resume();
  auto const values = results.get();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(trace_.size(), 51u) << "each once";
}

// Counts the elements that begin though nothing may.
int begins_while(procpool::SharedValue<int> paused, procpool::SharedValue<int> begun) {
  if (paused.load() != 0) begun.fetch_add(1);
  return 1;
}

TEST_P(Pause, HoldsUnderLoad) {
  procpool::ProcessPool pool{options(2)};
  procpool::SharedValue<int> paused(0);
  procpool::SharedValue<int> begun(0);
  std::atomic<bool> over{false};
  std::atomic<int> submitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        std::vector<procpool::Future<int>> futures;
        for (int j = 0; j < 50; ++j) {
          futures.push_back(pool.submit<begins_while>(paused, begun));
          ++submitted;
        }
        for (auto& future : futures) future.get();
      }
    });
  }
  for (int round = 0; round < 50; ++round) {
    pool.pause();
    // Whatever had begun by then ends.
    ASSERT_TRUE(support::until([&] { return pool.stats().running == 0; }));
    paused.store(1);
    std::this_thread::sleep_for(1ms);  // for what must not happen
    EXPECT_EQ(pool.stats().running, 0u);
    EXPECT_EQ(begun.load(), 0);
    paused.store(0);
    pool.resume();
    int const before = submitted;
    ASSERT_TRUE(support::until([&] { return submitted > before + 100; }));
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.stats().done, pool.stats().submitted);
}

TEST_P(Pause, KeysPrioritiesAndRetriesWaitToo) {
  procpool::ProcessPool pool{options(2)};
  pool.call<square>(1);
  pool.pause();
  auto keyed = pool.with({.key = 7}).submit<noted>(1);
  auto urgent = pool.with({.priority = 9}).submit<noted>(2);
  EXPECT_FALSE(support::until([&] { return trace_.size() != 0; }, 50ms));
  pool.resume();
  EXPECT_EQ(keyed.get(), 1);
  EXPECT_EQ(urgent.get(), 2);
}

TEST_P(Pause, TimeInTheQueueRunsOn) {
  procpool::ProcessPool pool{options(1)};
  pool.pause();
  EXPECT_THROW(pool.with({.queue_timeout = 20ms}).call<square>(1), procpool::TaskTimeout);
  auto future = pool.submit<square>(3);
  EXPECT_EQ(future.cancel(), procpool::Cancel::never_began);
}

TEST_P(Pause, AWorkerThatComesMeanwhileBeginsNothing) {
  procpool::ProcessPool pool{options(1)};
  pool.pause();
  auto future = pool.submit<noted>(3);
  EXPECT_TRUE(support::until([&] { return pool.stats().workers == 1; })) << "ready for later";
  EXPECT_FALSE(support::until([&] { return trace_.size() != 0; }, 50ms));
  pool.resume();
  EXPECT_EQ(future.get(), 3);
}

TEST_P(Pause, EachEndOfThePoolResumesIt) {
  {
    procpool::ProcessPool pool{options(1)};
    pool.pause();
    auto future = pool.submit<noted>(1);
    pool.join();
    EXPECT_EQ(future.get(), 1);
  }
  procpool::Future<int> future;
  {
    procpool::ProcessPool pool{options(1)};
    pool.pause();
    future = pool.submit<noted>(2);
  }
  EXPECT_EQ(future.get(), 2) << "the destructor runs every accepted element";
  {
    procpool::ProcessPool pool{options(1)};
    pool.pause();
    future = pool.submit<noted>(3);
    pool.shutdown(procpool::End::cancel);
    EXPECT_THROW(future.get(), procpool::TaskCancelled);
    pool.pause();  // too late, and no harm
  }
}

TEST(PauseInProcess, IsRefused) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = procpool::Start::in_process}}};
  EXPECT_THROW(pool.pause(), std::logic_error);
  pool.resume();
}

}  // namespace
}  // namespace pause_test
