// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// then and on_ready: what a future does once it has ended, and where that runs.

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::Outcome;

using tasks::square;
void ignore(int) {}
using tasks::after;
using tasks::crash;
using tasks::fail;

TEST(Then, GetsTheValueAndGivesAFutureOfWhatItReturns) {
  procpool::ProcessPool pool{2};
  Future<int> first = pool.submit<square>(5);
  Future<std::string> text = first.then([](int x) { return std::to_string(x); });
  EXPECT_FALSE(first.valid());
  EXPECT_EQ(text.get(), "25");
  EXPECT_FALSE(text.valid());
}

TEST(Then, TakesNothingOfAVoidFunctionAndMayReturnNothing) {
  procpool::ProcessPool pool{1};
  bool called = false;
  Future<void> done = pool.submit<ignore>(1).then([&called] { called = true; });
  done.get();
  EXPECT_TRUE(called);
}

TEST(Then, MovesWhatCanOnlyBeMoved) {
  procpool::ProcessPool pool{1};
  auto owner = std::make_unique<int>(1);
  auto sum = pool.submit<square>(3)
                 .then([](int x) { return std::make_unique<int>(x); })
                 .then([owner = std::move(owner)](std::unique_ptr<int> x) { return *x + *owner; });
  EXPECT_EQ(sum.get(), 10);
}

TEST(Then, PassesAnErrorByWithoutACall) {
  procpool::ProcessPool pool{1};
  bool called = false;
  auto future = pool.submit<fail>(1).then([&called](int) {
    called = true;
    return 1;
  });
  auto const error = support::thrown_by<std::out_of_range>([&] { future.get(); });
  EXPECT_STREQ(error.what(), "not here");
  EXPECT_FALSE(called);
}

TEST(Then, GivesAnOutcomeToWhoTakesOne) {
  procpool::ProcessPool pool{1};
  auto const told = [](Outcome<int> outcome) {
    return outcome.has_value() ? "value" : outcome.error().describe();
  };
  EXPECT_EQ(pool.submit<square>(1).then(told).get(), "value");
  EXPECT_NE(pool.submit<fail>(1).then(told).get().find("not here"), std::string::npos);
  EXPECT_NE(pool.submit<crash>(1).then(told).get().find("SIGKILL"), std::string::npos);
}

TEST(Then, WhatItThrowsIsTheNewFutures) {
  procpool::ProcessPool pool{1};
  auto future =
      pool.submit<square>(1).then([](int) -> int { throw std::logic_error("on the way"); });
  EXPECT_THROW(future.get(), std::logic_error);
  EXPECT_EQ(pool.call<square>(2), 4);
}

TEST(Then, UnwrapsAFutureAndResults) {
  procpool::ProcessPool pool{2};
  Future<int> chained =
      pool.submit<square>(2).then([&pool](int x) { return pool.submit<square>(x); });
  EXPECT_EQ(chained.get(), 16);
  Future<std::vector<int>> all = pool.submit<square>(2).then(
      [&pool](int x) { return pool.map_async<square>(std::vector<int>{x, x + 1}); });
  EXPECT_EQ(all.get(), (std::vector<int>{16, 25}));
  Future<int> failed = pool.submit<square>(2).then([&pool](int x) { return pool.submit<fail>(x); });
  EXPECT_THROW(failed.get(), std::out_of_range);
  Future<int> none = pool.submit<square>(2).then([](int) { return Future<int>(); });
  EXPECT_THROW(none.get(), std::logic_error);
}

TEST(Then, OfResultsGetsTheVector) {
  procpool::ProcessPool pool{2};
  auto const sum = [](std::vector<int> const& values) {
    int all = 0;
    for (int const value : values) all += value;
    return all;
  };
  EXPECT_EQ(pool.map_async<square>(std::vector<int>{1, 2, 3}).then(sum).get(), 14);
}

TEST(Then, RunsOnOneThreadThatIsNeitherTheCallersNorTheDispatchers) {
  procpool::ProcessPool pool{2};
  std::vector<Future<std::pair<std::thread::id, std::string>>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(pool.submit<square>(i).then([](int) {
      char name[32] = "";
      ::pthread_getname_np(::pthread_self(), name, sizeof name);
      return std::pair(std::this_thread::get_id(), std::string(name));
    }));
  }
  auto const [first, name] = all.front().get();
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_NE(name, "procpool");
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_EQ(all[i].get().first, first);
  // Also for one that has ended long since.
  auto ended = pool.submit<square>(1);
  ended.wait();
  EXPECT_EQ(ended.then([](int) { return std::this_thread::get_id(); }).get(), first);
}

TEST(Then, MayBlockOnThePoolItself) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<square>(2).then([&pool](int x) { return pool.call<square>(x) + 1; });
  EXPECT_EQ(future.get(), 17);
}

TEST(Then, SubmitsFromContinuationsWhileATaskCrashes) {
  procpool::ProcessPool pool{2};
  std::vector<Future<int>> all;
  for (int i = 0; i < 50; ++i) {
    all.push_back((i % 7 == 3 ? pool.submit<crash>(i) : pool.submit<square>(i))
                      .then([&pool, i](Outcome<int> outcome) {
                        return outcome.has_value() ? pool.submit<square>(i)
                                                   : pool.submit<square>(-1);
                      }));
  }
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i % 7 == 3 ? 1 : i * i);
}

TEST(Then, OutlivesThePool) {
  Future<int> future;
  {
    procpool::ProcessPool pool{1};
    future = pool.submit<square>(3);
  }
  EXPECT_EQ(std::move(future).then([](int x) { return x + 1; }).get(), 10);
}

TEST(Then, ContinuationsHaveRunWhenThePoolIsGone) {
  std::atomic<int> ran = 0;
  {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < 50; ++i) {
      pool.submit<square>(i).on_ready([&ran] {
        std::this_thread::sleep_for(1ms);  // most of them wait when the tasks have ended
        ++ran;
      });
    }
  }
  EXPECT_EQ(ran, 50);
}

TEST(Then, WhatItHoldsIsGoneWhenItsResultIsThere) {
  procpool::ProcessPool pool{1};
  auto held = std::make_shared<int>(1);
  auto future = pool.submit<square>(1).then([held](int) { return 1; });
  future.wait();
  EXPECT_EQ(held.use_count(), 1);
}

// ---- ends, from a continuation

TEST(Then, MayCloseAndTerminateItsPool) {
  procpool::ProcessPool pool{2};
  auto slow = pool.submit<after>(60'000);
  auto summary = pool.submit<square>(1).then([&pool](int) {
    pool.close();
    return pool.terminate();
  });
  EXPECT_EQ(summary.get().cancelled, 1u);
  EXPECT_THROW(slow.get(), procpool::TaskCancelled);
  EXPECT_THROW(static_cast<void>(pool.submit<square>(1)), procpool::PoolClosed);
}

TEST(Then, MayDestroyItsPool) {
  for (int round = 0; round < 20; ++round) {
    auto pool = std::make_unique<procpool::ProcessPool>(2);
    auto other = pool->submit<square>(2).then([](int x) { return x; });
    auto future = pool->submit<square>(3).then([&pool](int x) {
      pool.reset();
      return x;
    });
    EXPECT_EQ(future.get(), 9);
    EXPECT_EQ(other.get(), 4);
    EXPECT_EQ(pool, nullptr);
  }
}

TEST(Then, UsingThePoolWhileItEndsIsRefusedAndDisturbsNothing) {
  Future<int> late;
  {
    procpool::ProcessPool pool{1};
    late = pool.submit<after>(50).then([&pool](int) { return pool.submit<square>(2); });
  }
  EXPECT_THROW(late.get(), procpool::PoolClosed);
}

// ---- on_ready

TEST(OnReady, LeavesTheFutureItsOwner) {
  procpool::ProcessPool pool{1};
  std::promise<void> told;
  auto future = pool.submit<square>(4);
  future.on_ready([&told] { told.set_value(); });
  told.get_future().wait();
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(future.get(), 16);
}

TEST(OnReady, OneThatThrowsIsLoggedAndTheOthersRun) {
  std::mutex mutex;
  std::string log;
  procpool::ProcessPool pool{{.workers = 1, .log = [&](std::string_view line) {
                                std::lock_guard const lock(mutex);
                                log += line;
                              }}};
  std::latch second(1);
  auto future = pool.submit<square>(4);
  future.on_ready([] { throw std::runtime_error("unhappy callback"); });
  future.on_ready([&second] { second.count_down(); });
  second.wait();
  EXPECT_EQ(future.get(), 16);
  EXPECT_EQ(pool.call<square>(5), 25);
  std::lock_guard const lock(mutex);
  EXPECT_NE(log.find("unhappy callback"), std::string::npos);
}

TEST(OnReady, RunsForWhatWasKilledWithThePool) {
  std::atomic<int> ran = 0;
  procpool::ProcessPool pool{1};
  auto slow = pool.submit<after>(60'000);
  auto waiting = pool.submit<square>(1);
  slow.on_ready([&ran] { ++ran; });
  waiting.on_ready([&ran] { ++ran; });
  pool.terminate();
  EXPECT_TRUE(support::until([&ran] { return ran == 2; }));
}

}  // namespace
