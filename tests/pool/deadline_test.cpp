// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Deadlines: for running and for waiting. Only the element that overruns is ended.

#include <gtest/gtest.h>

#include <csignal>
#include <procpool.hpp>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gap.hpp"
#include "support/gate.hpp"
#include "support/seed.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::TaskTimeout;

using tasks::after;
using tasks::noted_after;
using tasks::square;
int dies_late_at_first(int x) {
  bool const first = support::Trace::seen(x) == 0;
  support::Trace::note(x);
  after(150);
  if (first) ::raise(SIGKILL);
  return x;
}
int hang_at_seven(int x) {
  if (x == 7) std::this_thread::sleep_for(10min);
  return x;
}
int hang_ignoring_term(int) {
  std::signal(SIGTERM, SIG_IGN);
  for (;;) std::this_thread::sleep_for(1min);
}
int stops_before_its_result(int) {
  ::raise(SIGSTOP);
  return 1;
}
int spin(int x) {
  volatile int const forever = 1;
  while (forever == 1) ++x;
  return x;
}

TEST(Timeout, EndsTheElementThatOverrunsAndNobodyElse) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 4, 40}) {
    auto const outcomes = pool.with({.chunk = chunk, .timeout = 300ms})
                              .outcomes()
                              .map<hang_at_seven>(std::views::iota(0, 40));
    ASSERT_EQ(outcomes.size(), 40u);
    for (int i = 0; i < 40; ++i) {
      auto const& outcome = outcomes[static_cast<std::size_t>(i)];
      if (i == 7) {
        std::string const text = support::error_of<TaskTimeout>(outcome).what();
        EXPECT_NE(text.find("element 7"), std::string::npos) << text;
        EXPECT_NE(text.find("300 ms"), std::string::npos) << text;
      } else {
        ASSERT_TRUE(outcome.has_value()) << i << ": " << support::text_of(outcome);
        EXPECT_EQ(outcome.value(), i);
      }
    }
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);  // all were asked for
}

// Also if the pool revoked work of the same worker before.
class TimeoutBehindAGap : public testing::TestWithParam<support::Gap> {
 protected:
  // Of one call for each worker, the first behind its gap.
  template <class Task>
  static void expect_timeouts(procpool::ProcessPool& pool, Task task) {
    support::MadeGap const gap(pool, GetParam());
    std::vector<procpool::Future<int>> futures;
    for (std::size_t i = 0; i < gap.calls(); ++i) {
      futures.push_back(pool.with({.timeout = 50ms}).submit(task, 1));
    }
    for (auto& future : futures) EXPECT_THROW(future.get(), TaskTimeout);
  }
};

TEST_P(TimeoutBehindAGap, EndsWhoIgnoresTermWhoSpinsAndWhoIsStopped) {
  for (auto* const task : {&hang_ignoring_term, &spin, &stops_before_its_result}) {
    procpool::ProcessPool pool{support::MadeGap::workers(GetParam())};
    expect_timeouts(pool, task);
    EXPECT_EQ(pool.call<square>(3), 9);
    EXPECT_EQ(pool.stats().worker_deaths, 0u);  // all were asked for
  }
}

TEST_P(TimeoutBehindAGap, HoldsAfterAnEndToo) {
  procpool::ProcessPool pool{support::MadeGap::workers(GetParam())};
  for (int round = 0; round < 3; ++round) expect_timeouts(pool, &hang_ignoring_term);
}

TEST_P(TimeoutBehindAGap, IsNotHitByWhoIsInTime) {
  procpool::ProcessPool pool{support::MadeGap::workers(GetParam())};
  support::MadeGap const gap(pool, GetParam());
  std::vector<procpool::Future<int>> futures;
  // Longer than a worker may be stalled.
  for (std::size_t i = 0; i < gap.calls(); ++i) {
    futures.push_back(pool.with({.timeout = 60s}).submit<after>(1'300));
  }
  for (auto& future : futures) EXPECT_EQ(future.get(), 1'300);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

INSTANTIATE_TEST_SUITE_P(Of, TimeoutBehindAGap, support::each_gap(), support::NameOfGap());

TEST(Timeout, IsPerElementAndNotPerChunk) {
  procpool::ProcessPool pool{1};
  auto const results =
      pool.with({.chunk = 20, .timeout = 1'000ms}).map<after>(std::vector<int>(20, 60));
  EXPECT_EQ(results.size(), 20u);
}

TEST(Timeout, OfManyAtOnce) {
  procpool::ProcessPool pool{10};
  auto const outcomes =
      pool.with({.timeout = 80ms}).outcomes().map<after>(std::vector<int>(10, 600'000));
  for (auto const& outcome : outcomes) support::error_of<TaskTimeout>(outcome);
  EXPECT_EQ(pool.map<square>(std::views::iota(0, 100)).size(), 100u);
}

TEST(Timeout, WhatWasQueuedBehindIsNotCounted) {
  procpool::ProcessPool pool{1};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.with({.timeout = 500ms}).submit<after>(70));
  for (auto& future : futures) EXPECT_EQ(future.get(), 70);
}

// Some end just before the deadline, some just after, some while it is acted upon.
TEST(Timeout, AResultThatCameFirstStands) {
  std::mt19937 random(support::new_seed());
  std::uniform_int_distribution<int> around(15, 35);
  std::vector<int> times(support::rounds(120, 40));
  for (int& time : times) time = around(random);
  procpool::ProcessPool pool{4};
  auto const outcomes = pool.with({.timeout = 20ms}).outcomes().map<after>(times);
  int values = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (outcomes[i].has_value()) {
      EXPECT_EQ(outcomes[i].value(), times[i]);
      ++values;
    } else {
      support::error_of<TaskTimeout>(outcomes[i]);
    }
  }
  EXPECT_GT(values, 0);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
}

TEST(Timeout, OfAMapStopsItLikeAnyFailure) {
  procpool::ProcessPool pool{2};
  EXPECT_THROW(pool.with({.timeout = 50ms}).map<hang_at_seven>(std::views::iota(0)), TaskTimeout);
}

TEST(Timeout, ComesFromTheDefaults) {
  procpool::ProcessPool pool{{.workers = 1, .defaults = {.timeout = 50ms}}};
  EXPECT_THROW(pool.call<after>(600'000), TaskTimeout);
  EXPECT_EQ(pool.with({.timeout = 10s}).call<after>(100), 100);
}

TEST(QueueTimeout, WhatWaitsTooLongNeverRuns) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  auto busy = pool.submit<noted_after>(400);
  // The first is in the worker's inbox already, the second waits here.
  auto first = pool.with({.queue_timeout = 50ms}).submit<noted_after>(1);
  auto second = pool.with({.queue_timeout = 50ms}).submit<noted_after>(2);
  auto unhurried = pool.with({.queue_timeout = 60s}).submit<noted_after>(3);
  std::string const text = support::thrown_by<TaskTimeout>([&] { first.get(); }).what();
  EXPECT_NE(text.find("50 ms"), std::string::npos) << text;
  EXPECT_THROW(second.get(), TaskTimeout);
  EXPECT_FALSE(busy.ready());
  EXPECT_EQ(busy.get(), 400);
  EXPECT_EQ(unhurried.get(), 3);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{400, 3}));
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

TEST(QueueTimeout, DoesNotCountOnceItRuns) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  EXPECT_EQ(pool.with({.queue_timeout = 100ms}).call<after>(300), 300);
}

// It has begun in time; that its worker died later does not make it one that has not.
TEST(QueueTimeout, DoesNotCountForFurtherAttempts) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  auto const call = [&pool](procpool::Retries retries) {
    return pool.with({.queue_timeout = 50ms, .retries = retries}).call<dies_late_at_first>(7);
  };
  EXPECT_EQ(call({.times = 1}), 7);
  EXPECT_EQ(trace.size(), 2u);
  trace.clear();
  // Nor is the time between two attempts one of waiting for the first.
  EXPECT_EQ(call({.times = 1, .backoff = 100ms}), 7);
}

TEST(QueueTimeout, OfAMapIsPerElement) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  auto const outcomes = pool.with({.chunk = 1, .queue_timeout = 150ms})
                            .outcomes()
                            .map<after>(std::vector<int>(20, 50));
  EXPECT_TRUE(outcomes.front().has_value());
  support::error_of<TaskTimeout>(outcomes.back());
}

// ---- deadlines for all of a call

int dies_after(int milliseconds) {
  support::Trace::note(milliseconds);
  after(milliseconds);
  return ::raise(SIGKILL);
}
std::chrono::steady_clock::time_point in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

TEST(Deadline, BoundsWaitingAndRunning) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  support::Stopwatch const watch;
  auto const timely = pool.with({.deadline = in(400ms)});
  auto view = timely;
  auto running = view.submit<noted_after>(600'000);
  auto waiting = view.submit<noted_after>(2);
  auto unhurried = pool.submit<noted_after>(3);
  std::string const ran = support::thrown_by<TaskTimeout>([&] { running.get(); }).what();
  EXPECT_NE(ran.find("running at its deadline"), std::string::npos) << ran;
  std::string const waited = support::thrown_by<TaskTimeout>([&] { waiting.get(); }).what();
  EXPECT_NE(waited.find("not ended at its deadline"), std::string::npos) << waited;
  EXPECT_GE(watch.passed(), 400ms);
  EXPECT_LT(watch.passed(), 4s);  // on a busy machine
  EXPECT_EQ(unhurried.get(), 3);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{600'000, 3}));
}

TEST(Deadline, WithATimeoutTheEarlierCounts) {
  procpool::ProcessPool pool{2};
  auto const text = [&](std::chrono::milliseconds timeout, std::chrono::milliseconds deadline) {
    return std::string(
        support::thrown_by<TaskTimeout>([&] {
          pool.with({.timeout = timeout, .deadline = in(deadline)}).call<after>(600'000);
        }).what());
  };
  EXPECT_NE(text(50ms, 10min).find("timeout of 50 ms"), std::string::npos);
  EXPECT_NE(text(10min, 300ms).find("deadline"), std::string::npos);
}

// The last attempt is ended at the deadline, however many are left.
TEST(Deadline, BoundsAllAttemptsTogether) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  auto const deadline = 2 * support::time_of_a_start;
  support::Stopwatch const watch;
  std::string const text =
      support::thrown_by<TaskTimeout>([&] {
        pool.with({.timeout = 100ms, .deadline = in(deadline), .retries = {.times = 1'000'000}})
            .call<noted_after>(600'000);
      }).what();
  EXPECT_NE(text.find("deadline"), std::string::npos) << text;
  EXPECT_GE(watch.passed(), deadline - 100ms);
  EXPECT_LT(watch.passed(), 60s);
  EXPECT_GT(trace.size(), 1u);
}

TEST(Deadline, ABackoffThatWouldPassItIsNotBegun) {
  procpool::ProcessPool pool{1};
  procpool::Retries const retries{.times = 5, .backoff = 10min};
  support::Stopwatch const watch;
  EXPECT_THROW((pool.with({.deadline = in(5min), .retries = retries}).call<dies_after>(1)),
               procpool::WorkerDied);
  EXPECT_LT(watch.passed(), 1min);
}

int dies_behind(std::string const& gate) {
  support::Trace::note(1);
  support::wait_at(gate);
  return ::raise(SIGKILL);
}

// The urgent one goes first when the worker has died.
TEST(Deadline, EndsAnElementThatWaitsForItsNextAttempt) {
  support::Trace const trace;
  support::Gate gate;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<square>(1), 1);
  auto again =
      pool.with({.deadline = in(1s), .retries = {.times = 1}}).submit<dies_behind>(gate.path());
  EXPECT_TRUE(support::until([&] { return trace.size() == 1 || again.ready(); }));
  auto urgent = pool.with({.priority = 1}).submit<noted_after>(600'000);
  gate.open();
  EXPECT_TRUE(again.wait_for(support::patience));
  EXPECT_FALSE(urgent.ready());
  urgent.cancel();
  EXPECT_THROW(again.get(), TaskTimeout);
}

TEST(Deadline, ThatHasPassedLetsNothingRun) {
  support::Trace const trace;
  for (auto const start : {procpool::Start::spawn, procpool::Start::in_process}) {
    procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
    auto late = pool.with({.deadline = in(-1s)});
    EXPECT_THROW(late.call<noted_after>(1), TaskTimeout);
    for (auto const& outcome : late.outcomes().map<noted_after>(std::views::iota(0, 1'000))) {
      support::error_of<TaskTimeout>(outcome);
    }
    auto stream = late.imap<noted_after>(std::views::iota(0));
    EXPECT_THROW(static_cast<void>(stream.begin()), TaskTimeout);
    EXPECT_EQ(pool.stats().worker_starts, 0u);
  }
  EXPECT_EQ(trace.size(), 0u);
}

TEST(Deadline, EndsTheWaitForRoomInTheQueue) {
  procpool::ProcessPool pool{{.workers = 1, .queue_limit = 1}};
  auto running = pool.submit<after>(600'000);
  auto waiting = pool.submit<after>(1);
  EXPECT_THROW(pool.with({.deadline = in(100ms)}).call<after>(1), TaskTimeout);
  running.cancel();
  EXPECT_EQ(waiting.get(), 1);
}

TEST(Deadline, MayBeOfTheSystemClockAndOfThePool) {
  procpool::ProcessPool pool{
      {.workers = 1, .defaults = {.deadline = std::chrono::system_clock::now() + 300ms}}};
  EXPECT_THROW(pool.call<after>(600'000), TaskTimeout);
}

TEST(Deadline, IsNotNoticedByWhoIsInTime) {
  procpool::ProcessPool pool{2};
  auto timely = pool.with({.deadline = in(10min)});
  EXPECT_EQ(timely.map<square>(std::views::iota(0, 1'000)).size(), 1'000u);
  EXPECT_EQ(timely.call<after>(20), 20);
}

TEST(Deadlines, ThatMakeNoSenseAreRefused) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.timeout = 0ms}).call<square>(1), std::invalid_argument);
  EXPECT_THROW(pool.with({.queue_timeout = -1ms}).call<square>(1), std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool({.shutdown = {.term_grace = 0ms}}), std::invalid_argument);
}

}  // namespace
