// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Coroutines that call coroutines, deep: they need neither the stack for it nor, where each returns
// the next, memory; and what they do is what they would do with a stack that has no end.

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/memory.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::ProcessPool;

using tasks::after;
using tasks::increment;

int const many_coroutines = support::rounds(2'000'000, 50'000);
int const deep = support::rounds(200'000, 50'000);

using support::resident;

// Runs it on a thread with a stack of so many bytes, which `left` tells what is left of.
std::uintptr_t stack_begin = 0;
std::size_t left() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - stack_begin;
}
void on_small_stack(std::size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, bytes), 0);
  pthread_t thread{};
  auto const run = [](void* what) -> void* {
    pthread_attr_t own;
    void* begin = nullptr;
    std::size_t size = 0;
    pthread_getattr_np(pthread_self(), &own);
    pthread_attr_getstack(&own, &begin, &size);
    pthread_attr_destroy(&own);
    stack_begin = reinterpret_cast<std::uintptr_t>(begin);
    (*static_cast<std::function<void()>*>(what))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}
constexpr std::size_t small = support::sanitized ? std::size_t{2} << 20 : std::size_t{256} << 10;

// ---- each returns the next

Future<int> ready_value(int x) { co_return x; }

Future<int> returns_the_next_call(int n) {
  int const value = co_await ready_value(n);
  if (n == 0) co_return value;
  co_return returns_the_next_call(n - 1);
}
Future<int> returns_the_next_at_once(int n) {
  if (n == 0) co_return 0;
  co_return returns_the_next_at_once(n - 1);
}
Future<int> submits_in_process(ProcessPool& pool, int n, int value) {
  int const next = co_await pool.submit<increment>(value);
  if (n == 0) co_return next;
  co_return submits_in_process(pool, n - 1, next);
}

TEST(DeepCoroutine, ThatReturnsTheNextNeedsNeitherStackNorMemory) {
  // As much of the stack as will be used has been touched.
  EXPECT_EQ(returns_the_next_call(100'000).get(), 0);
  EXPECT_EQ(returns_the_next_at_once(100'000).get(), 0);
  std::size_t const before = resident();
  auto one = returns_the_next_call(many_coroutines);
  EXPECT_TRUE(one.ready());  // all of them have begun and ended when the first call returns
  EXPECT_EQ(one.get(), 0);
  auto two = returns_the_next_at_once(many_coroutines);
  EXPECT_TRUE(two.ready());
  EXPECT_EQ(two.get(), 0);
  ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
  EXPECT_EQ(submits_in_process(pool, deep, 0).get(), deep + 1);
  // What each coroutine would keep, if it kept anything, is a multiple of this.
  if (!support::sanitized) {
    EXPECT_LT(resident(), before + 8'000'000);
  }
}

// ---- each awaits the next

Future<int> awaits_the_next(int n) {
  int const value = co_await ready_value(1);
  if (n == 0) co_return value;
  co_return value + co_await awaits_the_next(n - 1);
}
Future<int> awaits_and_throws(int n) {
  if (n == 0) throw std::out_of_range("at the bottom");
  co_return co_await awaits_and_throws(n - 1);
}

TEST(DeepCoroutine, ThatAwaitsTheNextNeedsNoStack) {
  auto one = awaits_the_next(deep);
  EXPECT_TRUE(one.ready());
  EXPECT_EQ(one.get(), deep + 1);
  EXPECT_THROW(awaits_and_throws(deep).get(), std::out_of_range);
  on_small_stack(small, [] { EXPECT_EQ(awaits_the_next(deep).get(), deep + 1); });
}

// ---- what they do, and where

struct SyncPoint {
  int what;
  std::thread::id thread;
};
// A tree: the left one is called first, both before either is awaited.
Future<int> walks(int n, std::vector<SyncPoint>& steps) {
  steps.push_back({n, std::this_thread::get_id()});
  if (n <= 0) co_return 1;
  auto left = walks(n - 2, steps);
  auto right = walks(-n, steps);
  int const value = co_await left + co_await right;
  steps.push_back({n, std::this_thread::get_id()});
  co_return value;
}

TEST(DeepCoroutine, BeginsInTheOrderOfTheCallsAndOnTheirThread) {
  int const levels = 20'000;
  std::vector<SyncPoint> steps;
  on_small_stack(small, [&] {
    auto future = walks(levels, steps);
    EXPECT_TRUE(future.ready());
    EXPECT_EQ(future.get(), levels / 2 + 1);
    for (SyncPoint const& step : steps) ASSERT_EQ(step.thread, std::this_thread::get_id());
  });
  ASSERT_EQ(steps.size(), static_cast<std::size_t>(levels) / 2 * 3 + 1);
  // Each left one before its right one.
  std::vector<bool> seen(static_cast<std::size_t>(levels) + 1);
  for (SyncPoint const& step : steps) {
    if (step.what >= 0) seen[static_cast<std::size_t>(step.what)] = true;
    if (step.what < 0) {
      ASSERT_TRUE(seen[static_cast<std::size_t>(-step.what - 2)]) << step.what;
    }
  }
}

// Blocks for the one that it has called, at each level: stack for all of them is needed.
Future<int> blocks_for_the_next(int n, bool all) {
  if (left() < small / 4) co_return n;
  auto next = blocks_for_the_next(n + 1, all);
  if (!all) co_return next.get();
  std::vector<Future<int>> futures;
  futures.push_back(std::move(next));
  auto ended = procpool::as_completed(futures);
  co_return (*ended.begin()).get();
}

TEST(DeepCoroutine, WhoBlocksForOneThatIsYetToBeginSeesToItFirst) {
  on_small_stack(small, [] {
    EXPECT_GT(blocks_for_the_next(0, false).get(), 10);
    EXPECT_GT(blocks_for_the_next(0, true).get(), 10);
  });
}

// The end of a pool, too.
Future<int> uses_a_pool(ProcessPool& pool) { co_return co_await pool.submit<increment>(1); }
[[gnu::noinline]] void with_a_third_of_the_stack(std::function<void()> const& work) {
  auto* const taken = static_cast<char volatile*>(__builtin_alloca(left() - small / 3));
  taken[0] = 0;
  work();
}
Future<int> closes_a_pool_deep_down() {
  ProcessPool pool{1};
  Future<int> used;
  with_a_third_of_the_stack([&] {
    used = uses_a_pool(pool);
    pool.close();
  });
  co_return co_await used;
}
Future<int> makes_a_pool_deep_down() {
  Future<int> used;
  bool begun = true;
  with_a_third_of_the_stack([&] {
    ProcessPool pool{1};
    used = uses_a_pool(pool);
    begun = pool.stats().submitted != 0;
  });
  EXPECT_FALSE(begun);
  co_return co_await used;
}

TEST(DeepCoroutine, BeginsBeforeAPoolEndsThatIsEndedBehindItsCall) {
  on_small_stack(small, [] { EXPECT_EQ(makes_a_pool_deep_down().get(), 2); });
  on_small_stack(small, [] { EXPECT_EQ(closes_a_pool_deep_down().get(), 2); });
}

// Nothing but the lowest one knows a pool, and whose executor they are to go on with.
TEST(DeepCoroutine, GoesOnWithTheExecutorThatIsFoundAtTheBottom) {
  ProcessPool pool{1};
  std::mutex mutex;
  std::thread::id thread;
  procpool::CallOptions options;
  options.executor = [&](std::function<void()> work) {
    std::thread([&, work = std::move(work)] {
      {
        std::lock_guard const lock(mutex);
        thread = std::this_thread::get_id();
      }
      work();
    }).join();
  };
  std::atomic<int> elsewhere = 0;
  struct Down {
    std::function<Future<int>()> lowest;
    std::function<void()> check;
    Future<int> operator()(int n) const {
      int const below = n == 0 ? co_await lowest() : co_await (*this)(n - 1);
      check();
      co_return below + 1;
    }
  };
  Down const down{[&] { return pool.with(options).submit<after>(200); },
                  [&] {
                    std::lock_guard const lock(mutex);
                    if (thread != std::this_thread::get_id()) ++elsewhere;
                  }};
  int const levels = support::rounds(3'000, 1'000);
  on_small_stack(small, [&] { EXPECT_EQ(down(levels).get(), 200 + levels + 1); });
  EXPECT_EQ(elsewhere, 0);
}

TEST(DeepCoroutine, IsWaitedForByTheEndOfItsPool) {
  std::atomic<int> ended = 0;
  Future<int> future;
  int const levels = 3'000;
  struct Down {
    std::function<Future<int>()> lowest;
    std::atomic<int>& ended;
    Future<int> operator()(int n) const {
      int const below = n == 0 ? co_await lowest() : co_await (*this)(n - 1);
      ++ended;
      co_return below;
    }
  };
  std::unique_ptr<Down> down;  // outlives what it is called for
  {
    ProcessPool pool{1};
    down = std::make_unique<Down>(Down{[&] { return pool.submit<after>(100); }, ended});
    on_small_stack(small, [&] { future = (*down)(levels); });
    EXPECT_EQ(ended, 0);
  }
  EXPECT_EQ(ended, levels + 1);
  EXPECT_EQ(future.get(), 100);
}

Future<int> holds_at_depth(int n, std::shared_ptr<int> held) {
  auto const local = held;
  if (n == 0) co_return 1;
  co_return co_await holds_at_depth(n - 1, held);
}

TEST(DeepCoroutine, HasLetGoOfWhatItHeldWhenGetReturns) {
  auto const held = std::make_shared<int>(1);
  on_small_stack(small, [&] { EXPECT_EQ(holds_at_depth(20'000, held).get(), 1); });
  EXPECT_EQ(held.use_count(), 1);
}

TEST(DeepCoroutine, CanBeCancelledThroughAllLevels) {
  ProcessPool pool{1};
  struct Down {
    ProcessPool& pool;
    Future<int> operator()(int n) const {
      if (n == 0) co_return co_await pool.submit<after>(60'000);
      co_return co_await (*this)(n - 1);
    }
  };
  Down const down{pool};
  on_small_stack(small, [&] {
    auto future = down(20'000);
    EXPECT_FALSE(future.ready());
    EXPECT_NE(future.cancel(), procpool::Cancel::too_late);
    EXPECT_THROW(future.get(), procpool::TaskCancelled);
  });
}

}  // namespace
