// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cancel(): it says which happened, and that is what happened.

#include <gtest/gtest.h>

#include <csignal>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gap.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Cancel;
using procpool::TaskCancelled;

using tasks::hang;
using tasks::noted_after;
using tasks::square;
int hang_without_term(int x) {
  std::signal(SIGTERM, SIG_IGN);
  return hang(x);
}
// Until the test has noted the number above it.
int noted_until_told(int number) {
  support::Trace::note(number);
  while (support::Trace::seen(number + 1) == 0) std::this_thread::sleep_for(1ms);
  return number;
}
std::size_t noted_size(std::vector<std::string> const& texts) {
  support::Trace::note(-1);
  return texts.size();
}
int stop_itself(int x) {
  support::Trace::note(x);
  ::raise(SIGSTOP);
  return x;
}

TEST(CancelFuture, WhatHasNotBegunNeverWillAndItsWorkerLives) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  auto busy = pool.submit<noted_after>(300);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  // The first of these is ahead in the worker's inbox, the others wait.
  std::vector<procpool::Future<int>> waiting;
  for (int i = 1; i <= 5; ++i) waiting.push_back(pool.submit<noted_after>(i));
  for (auto& future : waiting) {
    EXPECT_EQ(future.cancel(), Cancel::never_began);
    EXPECT_TRUE(future.ready());
    EXPECT_THROW(future.get(), TaskCancelled);
  }
  EXPECT_EQ(busy.get(), 300);
  EXPECT_EQ(pool.call<square>(2), 4);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{300}));
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

// Neither in the queue nor with a worker: a thread of the pool has it in hand. That takes as long
// as its argument is large, since what is no plain array is copied for the worker.
TEST(CancelFuture, WhatIsOnItsWayToAWorkerNeverBegins) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  std::vector<std::string> const large(64, std::string(std::size_t{1} << 18, 'l'));
  for (int round = 0; round < 8; ++round) {
    int const before = 100 * round;
    auto first = pool.submit<noted_until_told>(before);
    ASSERT_TRUE(support::until([&] { return trace.counts().contains(before); }));
    auto second = pool.submit<noted_until_told>(before + 10);
    auto third = pool.submit<noted_size>(large);
    support::Trace::note(before + 1);
    // By now what has come of the first is being taken, and the third given instead of it.
    ASSERT_TRUE(support::until([&] { return trace.counts().contains(before + 10); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
    EXPECT_EQ(third.cancel(), Cancel::never_began);
    support::Trace::note(before + 11);
    EXPECT_EQ(first.get(), before);
    EXPECT_EQ(second.get(), before + 10);
    EXPECT_THROW(third.get(), TaskCancelled);
  }
  EXPECT_FALSE(trace.counts().contains(-1));
}

TEST(CancelFuture, WhatRunsIsEnded) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  int runs = 0;
  for (auto* const task : {&hang, &hang_without_term, &stop_itself}) {
    auto other = pool.submit<noted_after>(200);
    auto future = pool.submit(task, 1);
    runs += 2;
    ASSERT_TRUE(support::until([&] { return trace.size() == static_cast<std::size_t>(runs); }));
    EXPECT_EQ(future.cancel(), Cancel::ended);
    EXPECT_TRUE(future.ready());
    EXPECT_THROW(future.get(), TaskCancelled);
    EXPECT_EQ(other.get(), 200);
    EXPECT_EQ(pool.call<square>(3), 9);
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

// Before that, the pool revoked work of the same worker.
class CancelBehindAGap : public testing::TestWithParam<support::Gap> {};

TEST_P(CancelBehindAGap, WhatRunsIsEnded) {
  support::Trace trace;
  for (auto* const task : {&hang, &hang_without_term, &stop_itself}) {
    trace.clear();
    procpool::ProcessPool pool{support::MadeGap::workers(GetParam())};
    support::MadeGap const gap(pool, GetParam());
    std::vector<procpool::Future<int>> futures;
    for (std::size_t i = 0; i < gap.calls(); ++i) futures.push_back(pool.submit(task, 1));
    ASSERT_TRUE(support::until([&] { return trace.size() == gap.calls(); }));
    for (auto& future : futures) {
      EXPECT_EQ(future.cancel(), Cancel::ended);
      EXPECT_TRUE(future.ready());
      EXPECT_THROW(future.get(), TaskCancelled);
    }
    EXPECT_EQ(pool.call<square>(3), 9);
    EXPECT_EQ(pool.stats().worker_deaths, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, CancelBehindAGap, support::each_gap(), support::NameOfGap());

TEST(CancelFuture, WhatHasEndedKeepsItsValue) {
  procpool::ProcessPool pool{1};
  auto future = pool.submit<square>(4);
  future.wait();
  EXPECT_EQ(future.cancel(), Cancel::too_late);
  EXPECT_EQ(future.get(), 16);
  procpool::Future<int> outlived;
  {
    procpool::ProcessPool other{1};
    outlived = other.submit<square>(5);
  }
  EXPECT_EQ(outlived.cancel(), Cancel::too_late);
  EXPECT_EQ(outlived.get(), 25);
}

TEST(CancelFuture, AThousandInARowLoseNoWorker) {
  procpool::ProcessPool pool{2};
  int const rounds = support::rounds(1'000, 200);
  for (int i = 0; i < rounds; ++i) {
    auto future = pool.submit<square>(i);
    auto const said = future.cancel();
    if (said == Cancel::too_late) {
      EXPECT_EQ(future.get(), i * i);
    } else {
      EXPECT_THROW(future.get(), TaskCancelled);
    }
  }
  EXPECT_EQ(pool.map<square>(std::views::iota(0, 100)).size(), 100u);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(stats.worker_deaths, 0u);
}

TEST(CancelFuture, FromManyThreadsAtOnce) {
  support::Trace const trace;
  procpool::ProcessPool pool{4};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < support::rounds(40, 10); ++i) {
        auto future = pool.submit<noted_after>(1 + (i * 7 + t) % 5);
        std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));
        bool const late = future.cancel() == Cancel::too_late;
        try {
          static_cast<void>(future.get());
          EXPECT_TRUE(late);
        } catch (TaskCancelled const&) {
          EXPECT_FALSE(late);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(stats.worker_deaths, 0u);
}

TEST(CancelResults, EndsWhatRunsAndKeepsNothingBack) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  auto results = pool.map_async<hang>(std::views::iota(0, 100));
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(results.cancel(), Cancel::ended);
  EXPECT_THROW(results.get(), TaskCancelled);
  EXPECT_EQ(trace.size(), 2u);
  EXPECT_EQ(pool.call<square>(3), 9);
}

}  // namespace
