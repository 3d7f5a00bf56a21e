// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Two features at once: pause beside start, labels beside retries, deadlines beside stops, outcomes
// beside keys.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <mutex>
#include <procpool.hpp>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace interplay_test {
namespace {

using namespace std::chrono_literals;
using procpool::FailureKind;

using tasks::noted;
using tasks::square;
using tasks::waits_at;
int dies_or_notes(int x) {
  if (x % 4 == 2) ::raise(SIGKILL);
  return noted(x);
}
int throws_noted(int x) {
  support::Trace::note(x);
  throw std::out_of_range("not yet");
}

class Interplay : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::PoolOptions options(int workers) const {
    procpool::PoolOptions made;
    made.workers = workers;
    made.start.method = GetParam();
    made.log = [](std::string_view) {};
    return made;
  }
  support::Trace const trace_;
  support::Gate const gate_;
};
INSTANTIATE_TEST_SUITE_P(, Interplay,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

// ---- pause

TEST_P(Interplay, APausedPoolStartsItsWorkersAndBeginsNothing) {
  procpool::ProcessPool pool{options(3)};
  pool.pause();
  auto waiting = pool.map_async<noted>(tasks::numbers(30));
  pool.start().get();
  EXPECT_EQ(pool.stats().workers, 3u);
  EXPECT_EQ(pool.stats().queued, 30u);
  EXPECT_EQ(trace_.size(), 0u);
  pool.resume();
  EXPECT_EQ(waiting.get(), tasks::numbers(30));
  EXPECT_EQ(trace_.size(), 30u) << "each once";
}

TEST_P(Interplay, AStartThatWaitsIsNotDisturbedByAPause) {
  auto slow = options(2);
  slow.start.initializer = procpool::bound<tasks::note_behind>(-1, gate_.path());
  procpool::ProcessPool pool{slow};
  auto warm = pool.start();
  pool.pause();
  auto call = pool.submit<square>(3);
  gate_.open();
  warm.get();
  EXPECT_EQ(pool.stats().workers, 2u);
  EXPECT_FALSE(call.ready());
  pool.resume();
  EXPECT_EQ(call.get(), 9);
}

TEST_P(Interplay, CallsInEachWorkerWaitForTheEndOfAPause) {
  procpool::ProcessPool pool{options(2)};
  pool.pause();
  auto places = pool.on_each_worker_async<noted>(5);
  pool.start().get();
  EXPECT_EQ(trace_.size(), 0u);
  pool.resume();
  EXPECT_EQ(places.get(), std::vector(2, 5));
}

TEST_P(Interplay, ADeadlineEndsWhatAPauseHoldsUp) {
  procpool::ProcessPool pool{options(1)};
  pool.pause();
  auto const late =
      pool.with({.deadline = std::chrono::steady_clock::now() + 30ms}).outcomes().call<noted>(1);
  EXPECT_EQ(late.error().kind(), FailureKind::timed_out);
  EXPECT_EQ(late.attempts(), 0u);
  std::stop_source source;
  auto stopped = pool.with({.stop = source.get_token()}).submit<noted>(2);
  source.request_stop();
  EXPECT_THROW(stopped.get(), procpool::TaskCancelled);
  pool.resume();
  EXPECT_EQ(pool.call<square>(2), 4);
  EXPECT_EQ(trace_.size(), 0u);
}

// Its next attempt is due while the pool is paused.
TEST_P(Interplay, AFurtherAttemptWaitsForTheEndOfAPause) {
  procpool::ProcessPool pool{options(1)};
  procpool::Retries const once{
      .times = 1, .backoff = 300ms, .also_on = procpool::thrown<std::out_of_range>()};
  auto future = pool.with({.retries = once}).submit<throws_noted>(1);
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  pool.pause();
  std::size_t const begun = trace_.size();  // both, on a machine that was away
  EXPECT_FALSE(support::until([&] { return trace_.size() != begun; }, 600ms));
  pool.resume();
  EXPECT_THROW(future.get(), std::out_of_range);
  EXPECT_EQ(trace_.size(), 2u);
}

// ---- labels

TEST_P(Interplay, EveryAttemptHasTheLabelOfItsCall) {
  std::mutex mutex;
  std::vector<std::string> labels;
  std::vector<std::string> texts;
  auto told = options(1);
  told.on_event = [&](procpool::Event const& event) {
    std::lock_guard const lock(mutex);
    if (event.kind != procpool::EventKind::task_retried) return;
    labels.push_back(event.label);
    texts.push_back(event.text);
  };
  procpool::ProcessPool pool{told};
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.with({.retries = {.times = 2}, .label = "nightly"}).call<dies_or_notes>(2); });
  EXPECT_EQ(died.attempts(), 3u);
  EXPECT_TRUE(support::says(died, "\"nightly\""));
  auto const outcome =
      pool.with({.retries = {.times = 2}, .label = "hourly"}).outcomes().call<dies_or_notes>(6);
  EXPECT_EQ(outcome.attempts(), 3u);
  EXPECT_NE(outcome.error().describe().find("\"hourly\""), std::string::npos);
  ASSERT_TRUE(support::until([&] {
    std::lock_guard const lock(mutex);
    return labels.size() == 4;
  }));
  EXPECT_EQ(labels, (std::vector<std::string>{"nightly", "nightly", "hourly", "hourly"}));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NE(texts[i].find(labels[i]), std::string::npos) << texts[i];
  }
}

// ---- deadlines and stops

TEST_P(Interplay, OfADeadlineAndAStopTheEarlierCounts) {
  procpool::ProcessPool pool{options(2)};
  std::stop_source source;
  auto const far = std::chrono::steady_clock::now() + 10min;
  auto stopped = pool.with({.deadline = far, .stop = source.get_token()})
                     .outcomes()
                     .submit<waits_at>(gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  source.request_stop();
  EXPECT_EQ(stopped.get().error().kind(), FailureKind::cancelled);

  std::stop_source late;
  auto over =
      pool.with({.deadline = std::chrono::steady_clock::now() + 50ms, .stop = late.get_token()})
          .outcomes()
          .submit<waits_at>(gate_.path());
  auto const outcome = over.get();
  EXPECT_EQ(outcome.error().kind(), FailureKind::timed_out);
  late.request_stop();  // of nothing any more
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST_P(Interplay, AStopEndsAllElementsOfACallWithADeadline) {
  procpool::ProcessPool pool{options(2)};
  std::stop_source source;
  auto results = pool.with({.chunk = 1,
                            .deadline = std::chrono::steady_clock::now() + 10min,
                            .stop = source.get_token()})
                     .outcomes()
                     .map_async<waits_at>(std::vector(20, gate_.path()));
  ASSERT_TRUE(support::until([&] { return trace_.size() == 2; }));
  source.request_stop();
  std::size_t begun = 0;
  for (auto const& outcome : results.get()) {
    EXPECT_EQ(outcome.error().kind(), FailureKind::cancelled);
    begun += outcome.attempts();
  }
  EXPECT_GE(begun, 2u);
  EXPECT_EQ(begun, trace_.size());
}

// ---- outcomes and keys

TEST_P(Interplay, OutcomesOfAKeyAreOfOneWorkerUntilItDies) {
  procpool::ProcessPool pool{options(3)};
  auto const outcomes =
      pool.with({.chunk = 1, .key = "one"}).outcomes().map<dies_or_notes>(tasks::numbers(12));
  ASSERT_EQ(outcomes.size(), 12u);
  std::set<pid_t> pids;
  for (int i = 0; i < 12; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    EXPECT_EQ(outcome.attempts(), 1u);
    pids.insert(outcome.pid());
    if (i % 4 == 2) {
      EXPECT_EQ(outcome.error().kind(), FailureKind::died);
    } else {
      EXPECT_EQ(outcome.value(), i);
    }
    if (i % 4 == 1) {
      EXPECT_EQ(outcome.pid(), outcomes[static_cast<std::size_t>(i) + 1].pid())
          << "the worker that has died next";
    }
  }
  EXPECT_EQ(pids.size(), 4u) << "one more after each of three deaths";
  std::vector<std::int64_t> in_order;
  for (int i = 0; i < 12; ++i) {
    if (i % 4 != 2) in_order.push_back(i);
  }
  EXPECT_EQ(trace_.numbers(), in_order);
}

}  // namespace
}  // namespace interplay_test
