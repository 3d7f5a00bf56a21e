// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// co_await on futures, and coroutines that return one.

#include <gtest/gtest.h>

#include <coroutine>
#include <csignal>
#include <exception>
#include <memory>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using procpool::Future;
using procpool::ProcessPool;

using tasks::crash;
using tasks::fail;
using tasks::nothing;
using tasks::square;

Future<int> sum_of_squares(ProcessPool& pool, int up_to) {
  int sum = 0;
  for (int i = 0; i <= up_to; ++i) sum += co_await pool.submit<square>(i);
  co_return sum;
}

Future<std::string> described(ProcessPool& pool) {
  try {
    co_await pool.submit<fail>(1);
    co_return "nothing was thrown";
  } catch (std::out_of_range const& error) {
    co_return error.what();
  }
}

Future<void> falls(ProcessPool& pool) {
  co_await pool.submit<nothing>();
  co_await pool.submit<crash>(1);
}

Future<int> ends_the_pool(std::unique_ptr<ProcessPool>& pool) {
  int const value = co_await pool->submit<square>(3);
  pool.reset();
  co_return value;
}

Future<std::size_t> of_many(ProcessPool& pool) {
  std::vector<int> const inputs{1, 2, 3};
  std::vector<int> const all = co_await pool.map_async<square>(inputs);
  auto const [a, b] = co_await procpool::when_all(pool.submit<square>(1), pool.submit<square>(2));
  co_return all.size() + static_cast<std::size_t>(a + b);
}

Future<std::shared_ptr<int>> holds(ProcessPool& pool, std::shared_ptr<int> held) {
  auto const local = held;
  co_await pool.submit<nothing>();
  co_return nullptr;
}

TEST(Coroutine, AwaitsOneAfterTheOther) {
  ProcessPool pool{2};
  EXPECT_EQ(sum_of_squares(pool, 10).get(), 385);
}

TEST(Coroutine, GetsErrorsWhereItAwaits) {
  ProcessPool pool{1};
  EXPECT_EQ(described(pool).get(), "not here");
  EXPECT_THROW(falls(pool).get(), procpool::WorkerDied);
}

TEST(Coroutine, AwaitsResultsAndComposedFutures) {
  ProcessPool pool{2};
  EXPECT_EQ(of_many(pool).get(), 8u);
}

TEST(Coroutine, MayEndThePool) {
  auto pool = std::make_unique<ProcessPool>(1);
  EXPECT_EQ(ends_the_pool(pool).get(), 9);
  EXPECT_EQ(pool, nullptr);
}

TEST(Coroutine, ManyAtOnce) {
  ProcessPool pool{2};
  std::vector<Future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(sum_of_squares(pool, 5));
  for (auto& each : all) EXPECT_EQ(each.get(), 55);
}

TEST(Coroutine, IsResumedWhenThePoolIsKilled) {
  ProcessPool pool{1};
  auto const sleeps = [](ProcessPool& own) -> Future<bool> {
    try {
      co_await own.submit([] { std::this_thread::sleep_for(std::chrono::minutes(1)); });
    } catch (procpool::TaskCancelled const&) {
      co_return true;
    }
    co_return false;
  };
  auto cancelled = sleeps(pool);
  pool.terminate();
  EXPECT_TRUE(cancelled.get());
}

TEST(Coroutine, WhatItHeldIsGoneWhenItsResultIsThere) {
  ProcessPool pool{1};
  auto held = std::make_shared<int>(1);
  auto future = holds(pool, held);
  future.wait();
  // The frame, with the parameter's copy, goes right behind the end.
  EXPECT_TRUE(support::until([&] { return held.use_count() == 1; }));
}

// Any coroutine type may await.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

TEST(Coroutine, OfAnyTypeAwaitsANamedFuture) {
  ProcessPool pool{1};
  std::atomic<int> result = 0;
  Future<int> named = pool.submit<square>(6);
  auto const run = [](Future<int>& future, std::atomic<int>& out) -> Detached {
    out = co_await future;
  };
  run(named, result);
  EXPECT_TRUE(support::until([&] { return result == 36; }));
}

}  // namespace
