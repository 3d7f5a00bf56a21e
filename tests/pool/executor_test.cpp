// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// CallOptions::executor: continuations and callbacks run where it says, and are not lost where it
// fails.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

using tasks::square;

TEST(Executor, RunsContinuationsOfItsCall) {
  procpool::ProcessPool pool{1};
  // Made before the executor's, so that the system does not give both the same id.
  auto const usual = pool.submit<square>(2).then([](int) { return std::this_thread::get_id(); });
  usual.wait();
  std::thread::id other;
  auto const elsewhere = [&other](std::function<void()> work) {
    std::thread thread([&] {
      other = std::this_thread::get_id();
      work();
    });
    thread.join();
  };
  auto first = pool.with({.executor = elsewhere}).submit<square>(2).then([](int) {
    return std::this_thread::get_id();
  });
  EXPECT_EQ(first.get(), other);
  // A call without it is not touched.
  EXPECT_NE(pool.submit<square>(2).then([](int) { return std::this_thread::get_id(); }).get(),
            other);
}

TEST(Executor, MayKeepTheWorkForLater) {
  procpool::ProcessPool pool{1};
  std::mutex mutex;
  std::vector<std::function<void()>> queue;
  auto const later = [&](std::function<void()> work) {
    std::lock_guard const lock(mutex);
    queue.push_back(std::move(work));
  };
  auto future = pool.with({.executor = later}).submit<square>(3).then([](int x) { return x + 1; });
  ASSERT_TRUE(support::until([&] {
    std::lock_guard const lock(mutex);
    return !queue.empty();
  }));
  EXPECT_FALSE(future.ready());
  queue.front()();
  EXPECT_TRUE(future.ready());
  queue.front()();  // once more does nothing
  EXPECT_EQ(future.get(), 10);
}

TEST(Executor, OneThatThrowsOrDropsLosesNothing) {
  std::mutex mutex;
  std::string log;
  procpool::ProcessPool pool{{.workers = 1, .log = [&](std::string_view line) {
                                std::lock_guard const lock(mutex);
                                log += line;
                              }}};
  procpool::Executor const throwing = [](std::function<void()>) {
    throw std::runtime_error("executor is full");
  };
  procpool::Executor const dropping = [](std::function<void()>) {};
  auto const plus_one = [](int x) { return x + 1; };
  EXPECT_EQ(pool.with({.executor = throwing}).submit<square>(2).then(plus_one).get(), 5);
  EXPECT_EQ(pool.with({.executor = dropping}).submit<square>(2).then(plus_one).get(), 5);
  std::lock_guard const lock(mutex);
  EXPECT_NE(log.find("executor is full"), std::string::npos);
  EXPECT_NE(log.find("did not run"), std::string::npos);
}

TEST(Executor, OfThePoolServesEveryCall) {
  int used = 0;  // only by the thread that asks executors, read when the pool is gone
  {
    procpool::CallOptions defaults;
    defaults.executor = [&used](std::function<void()> const& work) {
      ++used;
      work();
    };
    procpool::ProcessPool pool{{.workers = 1, .defaults = defaults}};
    EXPECT_EQ(pool.submit<square>(2).then([](int x) { return x; }).get(), 4);
    pool.submit<square>(2).on_ready([] {});
  }
  EXPECT_EQ(used, 2);
}

TEST(Executor, IsRefusedWhereNothingWouldRunOnIt) {
  procpool::ProcessPool pool{1};
  procpool::Executor const any = [](std::function<void()> const& work) { work(); };
  EXPECT_THROW(pool.with({.executor = any}).call<square>(2), std::invalid_argument);
}

TEST(Executor, DoesNotWaitForTheCallbackThread) {
  std::latch goes_on(1);
  std::latch blocked(1);
  procpool::ProcessPool pool{1};
  auto slow = pool.submit<square>(1).then([&](int) {
    blocked.count_down();
    goes_on.wait();
  });
  blocked.wait();
  procpool::Executor const other = [](std::function<void()> work) {
    std::thread(std::move(work)).detach();
  };
  auto fast = pool.with({.executor = other}).submit<square>(3).then([](int x) { return x; });
  EXPECT_TRUE(fast.wait_for(20s));
  EXPECT_FALSE(slow.ready());
  goes_on.count_down();
  EXPECT_EQ(fast.get(), 9);
}

TEST(Executor, TheEndOfThePoolWaitsForWhatOneRuns) {
  std::atomic<bool> over = false;
  std::latch runs(1);
  {
    procpool::ProcessPool pool{1};
    procpool::Executor const other = [](std::function<void()> work) {
      std::thread(std::move(work)).detach();
    };
    static_cast<void>(pool.with({.executor = other}).submit<square>(3).then([&](int) {
      runs.count_down();
      std::this_thread::sleep_for(100ms);
      over = pool.size() == 1;
    }));
    runs.wait();
  }
  EXPECT_TRUE(over);
}

TEST(Executor, MayRunWhatDestroysThePool) {
  auto pool = std::make_unique<procpool::ProcessPool>(1);
  procpool::Executor const other = [](std::function<void()> work) {
    std::thread(std::move(work)).detach();
  };
  auto future = pool->with({.executor = other}).submit<square>(3).then([&pool](int x) {
    pool.reset();
    return x;
  });
  EXPECT_EQ(future.get(), 9);
}

}  // namespace
