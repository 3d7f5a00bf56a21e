// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PoolOptions::queue_limit: what waits is bounded; a call blocks, is refused, or tries.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::QueueFull;
using procpool::WhenFull;

using tasks::hang;
using tasks::noted_after;
using tasks::square;

int at_gate(std::string const& gate) {
  support::wait_at(gate);
  return 1;
}

procpool::PoolOptions limited(int limit, int workers = 1) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.queue_limit = limit;
  return options;
}

TEST(QueueLimit, RefusesOrTries) {
  support::Trace const trace;
  procpool::ProcessPool pool{limited(2)};
  auto running = pool.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto first = pool.try_submit<square>(2);
  auto second = pool.with({.when_full = WhenFull::refuse}).submit<square>(3);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(pool.try_submit<square>(4).has_value());
  EXPECT_THROW(static_cast<void>(pool.with({.when_full = WhenFull::refuse}).submit<square>(4)),
               QueueFull);
  EXPECT_THROW(pool.with({.when_full = WhenFull::refuse}).map<square>(std::views::iota(0, 3)),
               QueueFull);
  EXPECT_EQ(pool.stats().submitted, 3u);  // nothing of what was refused
  EXPECT_EQ(pool.stats().queued, 2u);
  running.cancel();
  EXPECT_EQ(first->get(), 4);
  EXPECT_EQ(second.get(), 9);
  EXPECT_EQ(pool.try_submit<square>(5)->get(), 25);
}

// Not only what ends makes room, also what begins.
TEST(QueueLimit, WhoWaitsForRoomIsToldWhenAWorkerBegins) {
  procpool::ProcessPool pool{limited(1, 2)};
  support::Gate gate;
  auto first = pool.submit<at_gate>(gate.path());
  auto second =
      pool.submit<at_gate>(gate.path());  // no worker is there yet, so the first one waits
  auto third = pool.submit<at_gate>(gate.path());
  gate.open();
  EXPECT_EQ(first.get() + second.get() + third.get(), 3);
}

TEST(QueueLimit, BlocksUntilThereIsRoom) {
  support::Trace const trace;
  procpool::ProcessPool pool{limited(3)};
  auto running = pool.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 3; ++i) futures.push_back(pool.submit<square>(i));
  std::atomic<int> submitted{0};
  std::thread blocked([&] {
    for (int i = 3; i < 10; ++i) {
      futures.push_back(pool.submit<square>(i));
      ++submitted;
    }
  });
  EXPECT_FALSE(support::until([&] { return submitted != 0; }, 100ms));
  running.cancel();
  blocked.join();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
}

// However large the range is, only so many of its elements ever wait.
TEST(QueueLimit, HoldsForRangesToo) {
  procpool::ProcessPool pool{limited(16, 2)};
  std::atomic<std::uint64_t> most{0};
  auto const watched = std::views::iota(0, 2000) | std::views::transform([&](int i) {
                         auto const queued = pool.stats().queued;
                         if (queued > most) most = queued;
                         return i;
                       });
  auto const results = pool.map<square>(watched);
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
  EXPECT_LE(most, 16u);
  EXPECT_EQ(pool.with({.chunk = 100}).map<square>(std::views::iota(0, 1000)).size(), 1000u);
  // The first elements find room, so nothing is refused half-way.
  EXPECT_EQ(pool.with({.when_full = WhenFull::refuse}).map<square>(std::views::iota(0, 500)).size(),
            500u);
}

TEST(QueueLimit, DoesNotHoldUpStreams) {
  procpool::ProcessPool pool{limited(2, 2)};
  int expected = 0;
  for (int const result : pool.with({.window = 64}).imap<square>(std::views::iota(0, 1000))) {
    EXPECT_EQ(result, expected * expected);
    ++expected;
  }
  EXPECT_EQ(expected, 1000);
}

TEST(QueueLimit, TheEndOfThePoolWakesWhoWaits) {
  for (int const how : {0, 1, 2}) {
    support::Trace const trace;
    procpool::ProcessPool pool{limited(1)};
    auto running = pool.submit<hang>(1);
    ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
    auto waiting = pool.submit<square>(2);
    std::atomic<bool> begun{false};
    std::atomic<bool> refused{false};
    std::thread blocked([&] {
      begun = true;
      try {
        static_cast<void>(pool.submit<square>(3));
      } catch (procpool::PoolClosed const&) {
        refused = true;
      }
    });
    ASSERT_TRUE(support::until([&] { return begun.load(); }));
    if (how == 0) pool.close();
    if (how == 1) pool.terminate();
    if (how == 2) pool.shutdown(procpool::End::drain, 50ms);
    blocked.join();
    EXPECT_TRUE(refused);
    if (how == 0) pool.terminate();
    EXPECT_THROW(waiting.get(), procpool::TaskCancelled);
  }
}

// A map that waits for room in the middle is a call that was accepted: it is taken to its end.
TEST(QueueLimit, AnAcceptedRangeIsTakenWholeThoughThePoolCloses) {
  support::Trace const trace;
  procpool::ProcessPool pool{limited(4)};
  std::thread closer([&] {
    ASSERT_TRUE(support::until([&] { return trace.size() >= 2; }));
    pool.close();
  });
  EXPECT_EQ(pool.map<noted_after>(std::vector<int>(60, 2)).size(), 60u);
  closer.join();
}

TEST(QueueLimit, ManySubmittersAtOnce) {
  procpool::ProcessPool pool{limited(5, 2)};
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) right += pool.call<square>(t * i) == t * i * t * i ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
}

TEST(QueueLimit, MustMakeSense) {
  EXPECT_THROW(procpool::ProcessPool{limited(0)}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{limited(-3)}, std::invalid_argument);
}

}  // namespace
