// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// pool.outcomes(): every operation gives an Outcome for each element, and beside it what is known of
// the element.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <numeric>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::FailureKind;
using procpool::Outcome;
using Clock = std::chrono::steady_clock;

// Of ten neighbours one throws, one crashes and one ends its process.
int risky(int x) {
  if (x % 10 == 3) throw std::out_of_range(std::to_string(x));
  if (x % 10 == 5) ::raise(SIGSEGV);
  if (x % 10 == 7) ::_exit(4);
  return 2 * x;
}
int sum(int a, int b) { return risky(a) + b; }
void nothing(int x) { risky(x); }
std::vector<int> halves(std::vector<int> const& all) {
  std::vector<int> some;
  for (int const x : all) some.push_back(risky(x) / 2);
  return some;
}
pid_t sleeps(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return ::getpid();
}
int prints_and_gives(int x) {
  std::printf("%d\n", x);
  std::fflush(stdout);
  return risky(x);
}

std::vector<int> first_numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

template <class T>
void expect_as_risky(Outcome<T> const& outcome, int x) {
  SCOPED_TRACE(x);
  bool const fails = x % 10 == 3 || x % 10 == 5 || x % 10 == 7;
  ASSERT_EQ(outcome.has_value(), !fails);
  if (!fails) return;
  EXPECT_EQ(outcome.error().kind(), x % 10 == 3 ? FailureKind::threw : FailureKind::died);
  if (x % 10 == 3) {
    EXPECT_EQ(outcome.error().template as<std::out_of_range>()->what(), std::to_string(x));
  }
}

class Outcomes : public testing::Test {
 protected:
  procpool::ProcessPool pool{2};
};

// ---- each operation

TEST_F(Outcomes, OfMap) {
  auto const outcomes = pool.outcomes().map<risky>(first_numbers(40));
  static_assert(std::is_same_v<decltype(outcomes), std::vector<Outcome<int>> const>);
  ASSERT_EQ(outcomes.size(), 40u);
  for (int x = 0; x < 40; ++x) {
    auto const& outcome = outcomes[static_cast<std::size_t>(x)];
    expect_as_risky(outcome, x);
    EXPECT_EQ(outcome.value_or(2 * x), 2 * x);
  }
  EXPECT_EQ(pool.outcomes().map(sum, first_numbers(3), std::vector{1, 1}).size(), 2u);
}

TEST_F(Outcomes, OfFunctionsWithoutValue) {
  auto const outcomes = pool.outcomes().map<nothing>(first_numbers(10));
  static_assert(std::is_same_v<decltype(outcomes), std::vector<Outcome<void>> const>);
  ASSERT_EQ(outcomes.size(), 10u);
  for (int x = 0; x < 10; ++x) expect_as_risky(outcomes[static_cast<std::size_t>(x)], x);
}

TEST_F(Outcomes, OfStarmap) {
  std::vector const pairs{std::pair(1, 1), std::pair(3, 1)};
  auto const outcomes = pool.outcomes().starmap<sum>(pairs);
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(*outcomes[0], 3);
  expect_as_risky(outcomes[1], 3);
  auto const later = pool.outcomes().starmap_async(sum, pairs).get();
  EXPECT_EQ(*later.at(0), 3);
  expect_as_risky(later.at(1), 3);
}

TEST_F(Outcomes, OfMapAsync) {
  auto results = pool.outcomes().map_async<risky>(first_numbers(20));
  static_assert(std::is_same_v<decltype(results.get()), std::vector<Outcome<int>>>);
  auto const outcomes = results.get();
  ASSERT_EQ(outcomes.size(), 20u);
  for (int x = 0; x < 20; ++x) expect_as_risky(outcomes[static_cast<std::size_t>(x)], x);
  EXPECT_EQ(pool.outcomes().map_async<nothing>(first_numbers(4)).get().size(), 4u);
}

TEST_F(Outcomes, OfOneCall) {
  EXPECT_EQ(*pool.outcomes().call<risky>(4), 8);
  expect_as_risky(pool.outcomes().call<risky>(5), 5);
  EXPECT_TRUE(pool.outcomes().call<nothing>(4));
  procpool::Future<Outcome<int>> future = pool.outcomes().submit<risky>(3);
  expect_as_risky(future.get(), 3);
  EXPECT_EQ(*pool.outcomes().try_submit<risky>(2)->get(), 4);
}

TEST_F(Outcomes, OfAFutureGoOnWithThen) {
  auto next = pool.outcomes().submit<risky>(5).then(
      [](Outcome<int> const& outcome) { return outcome.value_or(-1); });
  EXPECT_EQ(next.get(), -1);
}

TEST_F(Outcomes, OfAStreamSurviveFailures) {
  int x = 0;
  for (auto outcome : pool.outcomes().imap<risky>(std::views::iota(0) | std::views::take(50))) {
    static_assert(std::is_same_v<decltype(outcome), Outcome<int>>);
    expect_as_risky(outcome, x);
    EXPECT_EQ(outcome.value_or(2 * x), 2 * x);
    ++x;
  }
  EXPECT_EQ(x, 50);
  for (auto const& outcome : pool.outcomes().imap<nothing>(first_numbers(1))) EXPECT_TRUE(outcome);
}

TEST_F(Outcomes, OfAnUnorderedStreamHaveTheirIndex) {
  std::set<std::size_t> seen;
  for (auto [index, outcome] : pool.outcomes().imap_unordered<risky>(first_numbers(50))) {
    static_assert(std::is_same_v<decltype(outcome), Outcome<int>>);
    expect_as_risky(outcome, static_cast<int>(index));
    seen.insert(index);
  }
  EXPECT_EQ(seen.size(), 50u);
  for (auto const& each : pool.outcomes().imap_unordered<nothing>(first_numbers(1))) {
    EXPECT_EQ(each.index, 0u);
    EXPECT_TRUE(each.value);
  }
}

// What ends the inputs of a stream is thrown as ever.
TEST_F(Outcomes, OfAStreamEndWithTheErrorOfItsInputs) {
  auto const inputs = std::views::iota(0, 5) | std::views::transform([](int x) {
                        return x == 4 ? throw std::domain_error("no more") : x;
                      });
  int count = 0;
  EXPECT_THROW(
      {
        for (auto const& outcome : pool.outcomes().imap<risky>(inputs)) {
          expect_as_risky(outcome, count++);
        }
      },
      std::domain_error);
  EXPECT_EQ(count, 4);
}

TEST_F(Outcomes, OfSlices) {
  auto const outcomes = pool.with({.slices = 4}).outcomes().parallelize<halves>(first_numbers(12));
  static_assert(std::is_same_v<decltype(outcomes), std::vector<Outcome<std::vector<int>>> const>);
  ASSERT_EQ(outcomes.size(), 4u);
  EXPECT_EQ(*outcomes[0], (std::vector{0, 1, 2}));
  EXPECT_EQ(outcomes[1].error().kind(), FailureKind::threw);
  EXPECT_EQ(outcomes[2].error().kind(), FailureKind::died);
  EXPECT_EQ(*outcomes[3], (std::vector{9, 10, 11}));
}

// ---- options

TEST_F(Outcomes, StandBeforeAndBehindOptions) {
  auto const late = [](auto view) { return view.template map<sleeps>(std::vector{0, 60'000}); };
  for (auto const& outcomes : {late(pool.with({.timeout = 50ms}).outcomes()),
                               late(pool.outcomes().with({.timeout = 50ms}))}) {
    ASSERT_EQ(outcomes.size(), 2u);
    EXPECT_TRUE(outcomes[0]);
    EXPECT_EQ(outcomes[1].error().kind(), FailureKind::timed_out);
  }
  // The one given last counts, and the others stay.
  auto view = pool.with({.chunk = 1, .timeout = 50ms}).outcomes().with({.timeout = 60s});
  EXPECT_TRUE(view.map<sleeps>(std::vector{100}).at(0));
}

TEST_F(Outcomes, RefuseOnError) {
  for (auto const how : {procpool::OnError::stop, procpool::OnError::collect}) {
    auto const error = support::thrown_by<std::invalid_argument>(
        [&] { pool.with({.on_error = how}).outcomes().map<risky>(first_numbers(3)); });
    EXPECT_STREQ(error.what(),
                 "procpool: the option `on_error` has no meaning for map behind outcomes(), which "
                 "gives all outcomes anyway");
    EXPECT_THROW(
        static_cast<void>(pool.outcomes().with({.on_error = how}).imap<risky>(first_numbers(3))),
        std::invalid_argument);
  }
}

TEST_F(Outcomes, RunAllElementsWhateverTheDefault) {
  procpool::ProcessPool stops{{.workers = 1, .defaults = {.on_error = procpool::OnError::stop}}};
  auto const outcomes = stops.outcomes().map<risky>(first_numbers(10));
  for (int x = 0; x < 10; ++x) expect_as_risky(outcomes.at(static_cast<std::size_t>(x)), x);
}

TEST_F(Outcomes, ThrowWhatIsOfNoElement) {
  auto outcomes = pool.outcomes();
  pool.close();
  EXPECT_THROW(static_cast<void>(outcomes.submit<risky>(1)), procpool::PoolClosed);
  EXPECT_THROW(static_cast<void>(outcomes.map<risky>(first_numbers(3))), procpool::PoolClosed);
  EXPECT_THROW(static_cast<void>(outcomes.imap<risky>(first_numbers(3))), procpool::PoolClosed);
}

// ---- beside the value or the failure

class OutcomeDetailsOf : public testing::TestWithParam<procpool::Start> {};
INSTANTIATE_TEST_SUITE_P(Start, OutcomeDetailsOf,
                         testing::Values(procpool::Start::spawn, procpool::Start::in_process),
                         [](auto const& tested) {
                           return tested.param == procpool::Start::spawn ? "spawn" : "in_process";
                         });

TEST_P(OutcomeDetailsOf, AValue) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  auto const before = Clock::now();
  auto const outcome = pool.outcomes().call<sleeps>(30);
  auto const after = Clock::now();
  auto const times = outcome.times();
  ASSERT_TRUE(times.queued && times.started && times.ended);
  EXPECT_LE(before, *times.queued);
  EXPECT_LE(*times.queued, *times.started);
  EXPECT_LE(*times.ended, after);
  EXPECT_GE(*times.ran(), 30ms);
  EXPECT_EQ(*times.waited() + *times.ran(), *times.ended - *times.queued);
  EXPECT_EQ(outcome.attempts(), 1u);
  EXPECT_EQ(outcome.pid(), *outcome);
  EXPECT_EQ(outcome.worker(), GetParam() == procpool::Start::spawn ? 0 : -1);
  EXPECT_EQ(outcome.output(), "");
}

TEST_P(OutcomeDetailsOf, WhatThrew) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  auto const outcome = pool.outcomes().call(
      [](int) -> int {
        std::this_thread::sleep_for(20ms);
        throw std::domain_error("late");
      },
      1);
  EXPECT_GE(*outcome.times().ran(), 20ms);
  EXPECT_EQ(outcome.attempts(), 1u);
  EXPECT_EQ(outcome.pid(), outcome.error().as<procpool::Origin>()->pid);
}

TEST_F(Outcomes, KnowHowLongTheyWaited) {
  procpool::ProcessPool one{1};
  auto const outcomes = one.with({.chunk = 1}).outcomes().map<sleeps>(std::vector{40, 0});
  auto const first = outcomes[0].times();
  auto const second = outcomes[1].times();
  EXPECT_GE(*second.waited(), *first.ran());
}

TEST_F(Outcomes, OfADeathKnowTheWorkerAndNotTheBegin) {
  auto const outcome = pool.outcomes().call<risky>(5);
  auto const* const died = outcome.error().as<procpool::WorkerDied>();
  ASSERT_NE(died, nullptr);
  EXPECT_EQ(outcome.pid(), died->pid());
  EXPECT_EQ(outcome.worker(), died->worker());
  EXPECT_EQ(outcome.attempts(), 1u);
  EXPECT_TRUE(outcome.times().queued && outcome.times().ended);
  EXPECT_FALSE(outcome.times().started);
  EXPECT_FALSE(outcome.times().ran());
}

TEST_F(Outcomes, OfWhatNeverBeganHaveNoWorker) {
  procpool::ProcessPool one{1};
  auto const busy = one.submit<sleeps>(200);
  auto const outcome = one.with({.queue_timeout = 20ms}).outcomes().call<sleeps>(0);
  EXPECT_EQ(outcome.error().kind(), FailureKind::timed_out);
  EXPECT_EQ(outcome.attempts(), 0u);
  EXPECT_EQ(outcome.worker(), -1);
  EXPECT_EQ(outcome.pid(), 0);
  EXPECT_FALSE(outcome.times().started);
  EXPECT_GE(*outcome.times().ended - *outcome.times().queued, 20ms);
}

TEST_F(Outcomes, OfATimeoutHadBegun) {
  auto const outcome = pool.with({.timeout = 30ms}).outcomes().call<sleeps>(60'000);
  EXPECT_EQ(outcome.error().kind(), FailureKind::timed_out);
  EXPECT_EQ(outcome.attempts(), 1u);
  EXPECT_NE(outcome.worker(), -1);
  EXPECT_GT(outcome.pid(), 0);
  auto const times = outcome.times();
  ASSERT_TRUE(times.started) << "the pool looks at an element with a timeout";
  EXPECT_GE(*times.started, *times.queued);
  EXPECT_GE(times.ran(), 30ms);
}

// The pool looks at it because of its timeout: sooner or later before its end.
TEST_F(Outcomes, OfADeathWithATimeoutKnowTheBegin) {
  procpool::ElementTimes times;
  auto const dies = [](int milliseconds) {
    tasks::sleep_ms(milliseconds);
    return ::raise(SIGKILL);
  };
  EXPECT_TRUE(support::until([&] {
    auto const outcome = pool.with({.timeout = 10min}).outcomes().call(dies, 50);
    EXPECT_EQ(outcome.error().kind(), FailureKind::died);
    times = outcome.times();
    return times.started.has_value();
  }));
  ASSERT_TRUE(times.started);
  EXPECT_GE(*times.started, *times.queued);
  EXPECT_LE(*times.started, *times.ended);
}

// ---- output

TEST(OutcomeOutput, OfEveryOperation) {
  procpool::ProcessPool pool{{.workers = 2, .output = {.mode = procpool::Output::capture}}};
  auto const expect_output = [](auto const& outcome, int x) {
    expect_as_risky(outcome, x);
    EXPECT_EQ(outcome.output(), std::to_string(x) + "\n");
  };
  auto const outcomes = pool.outcomes().map<prints_and_gives>(first_numbers(10));
  for (int x = 0; x < 10; ++x) expect_output(outcomes.at(static_cast<std::size_t>(x)), x);
  expect_output(pool.outcomes().call<prints_and_gives>(3), 3);
  int x = 0;
  for (auto const& outcome : pool.outcomes().imap<prints_and_gives>(first_numbers(10)))
    expect_output(outcome, x++);
  for (auto const& [index, outcome] :
       pool.outcomes().imap_unordered<prints_and_gives>(first_numbers(10))) {
    expect_output(outcome, static_cast<int>(index));
  }
}

}  // namespace
