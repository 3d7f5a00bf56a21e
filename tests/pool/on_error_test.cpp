// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A call over a range whose elements fail: stop, finish, collect; and which failure is
// told. Always the first by index, whichever came first in time.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <numeric>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using procpool::CallOptions;
using procpool::OnError;

namespace {

// So many that a call which runs them all although it should stop is told from one that stops:
// those behind the failures take some time each.
constexpr int many_elements = 5'000;

int fail_in_the_middle(int x) {
  if (x == 50'000) throw std::range_error("in the middle");
  return x + 1;
}

// Element 3 fails late, element 40 at once.
int fail_late_and_early(int x) {
  support::Trace::note(x);
  if (x == 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    throw std::out_of_range("third");
  }
  if (x == 40) throw std::range_error("fortieth");
  if (x > 40) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return x;
}
int fail_at_multiples_of_10(int x) {
  support::Trace::note(x);
  if (x % 20 == 10) throw std::out_of_range(std::to_string(x));
  if (x % 20 == 0 && x != 0) throw std::range_error(std::to_string(x));
  return x;
}
int crash_at_5(int x) {
  support::Trace::note(x);
  if (x == 5) ::raise(SIGSEGV);
  if (x > 5) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return x;
}
int crash_at_5_and_throw_at_9(int x) {
  support::Trace::note(x);
  if (x == 5) ::raise(SIGSEGV);
  if (x == 9) throw std::out_of_range("nine");
  if (x > 9) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return x;
}
void void_fails_at_7(int x) {
  support::Trace::note(x);
  if (x == 7) throw std::out_of_range("seven");
  if (x > 7) std::this_thread::sleep_for(std::chrono::microseconds(100));
}
int fail_if_equal(int a, int b) {
  support::Trace::note(a);
  if (a == b) throw std::out_of_range(std::to_string(a));
  if (a > b) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return a - b;
}
using tasks::same;

std::vector<int> seen_here;  // for in_process
int fail_here_at_3(int x) {
  seen_here.push_back(x);
  if (x == 3) throw std::out_of_range("three");
  return x;
}

using tasks::numbers;

// All of [0, end) were begun, each once, and altogether fewer than `limit` elements.
void expect_stopped(support::Trace const& trace, int end, std::size_t limit) {
  auto const counts = trace.counts();
  for (int i = 0; i < end; ++i) {
    auto const found = counts.find(i);
    ASSERT_NE(found, counts.end()) << "element " << i << " did not run";
  }
  for (auto const& [element, times] : counts) EXPECT_EQ(times, 1) << element;
  EXPECT_LT(counts.size(), limit);
}

void expect_third(procpool::FromWorker<std::out_of_range> const& error) {
  EXPECT_STREQ(error.what(), "third");
  EXPECT_EQ(error.element, 3u);
}

using Third = procpool::FromWorker<std::out_of_range>;

class OnErrorStop : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  int workers() const { return std::get<0>(GetParam()); }
  CallOptions options() const {
    int const chunk = std::get<1>(GetParam());
    return chunk == 0 ? CallOptions{} : CallOptions{.chunk = chunk};
  }
};

}  // namespace

// ---- stop

TEST_P(OnErrorStop, MapThrowsTheFirstByIndexAndRunsWhatLiesBeforeIt) {
  support::Trace trace;
  procpool::ProcessPool pool{workers()};
  for (int round = 0; round < 5; ++round) {
    trace.clear();
    expect_third(support::thrown_by<Third>(
        [&] { pool.with(options()).map<fail_late_and_early>(numbers(many_elements)); }));
    expect_stopped(trace, 4, many_elements);
  }
  EXPECT_EQ(pool.call<same>(5), 5);
  EXPECT_EQ(pool.stats().done, pool.stats().submitted);
}

TEST_P(OnErrorStop, OfACrash) {
  support::Trace trace;
  procpool::ProcessPool pool{workers()};
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.with(options()).map<crash_at_5>(numbers(many_elements)); });
  EXPECT_EQ(died.element(), 5u);
  EXPECT_EQ(died.signal(), SIGSEGV);
  expect_stopped(trace, 6, many_elements);
  EXPECT_EQ(pool.call<same>(5), 5);
}

TEST_P(OnErrorStop, OfAnEndlessInputStopsReading) {
  support::Trace trace;
  procpool::ProcessPool pool{workers()};
  std::uint64_t pulled = 0;
  auto endless = std::views::iota(0) | std::views::transform([&pulled](int x) {
                   ++pulled;
                   return x % 1'000'000;
                 });
  expect_third(
      support::thrown_by<Third>([&] { pool.with(options()).map<fail_late_and_early>(endless); }));
  EXPECT_GE(pulled, 4u);
  EXPECT_GE(pulled, pool.stats().submitted);
  auto results = pool.with(options()).map_async<fail_late_and_early>(endless);
  expect_third(support::thrown_by<Third>([&] { results.get(); }));
  EXPECT_EQ(pool.stats().done, pool.stats().submitted);
}

INSTANTIATE_TEST_SUITE_P(WorkersAndChunks, OnErrorStop,
                         testing::Combine(testing::Values(1, 2, 4), testing::Values(0, 1, 7)));

TEST(OnError, StopIsTheSameForAllOperationsOverRanges) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto const sevens = std::vector<int>(many_elements, 7);
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < many_elements; ++i) pairs.emplace_back(i, 7);

  EXPECT_THROW(pool.map<void_fails_at_7>(numbers(many_elements)), std::out_of_range);
  expect_stopped(trace, 8, many_elements);
  trace.clear();
  EXPECT_THROW(pool.map<fail_if_equal>(numbers(many_elements), sevens), std::out_of_range);
  expect_stopped(trace, 8, many_elements);
  trace.clear();
  EXPECT_THROW(pool.starmap<fail_if_equal>(pairs), std::out_of_range);
  expect_stopped(trace, 8, many_elements);
  trace.clear();
  EXPECT_THROW(pool.map_async<fail_if_equal>(numbers(many_elements), sevens).get(),
               std::out_of_range);
  expect_stopped(trace, 8, many_elements);
  trace.clear();
  EXPECT_THROW(pool.starmap_async<fail_if_equal>(pairs).get(), std::out_of_range);
  expect_stopped(trace, 8, many_elements);
}

TEST(OnError, StopRunsEverythingThatLiesBeforeTheFailure) {
  support::Trace trace;
  procpool::ProcessPool pool{4};
  auto const last_fails = [](int x) {
    support::Trace::note(x);
    if (x == 999) throw std::out_of_range("the last");
    return x;
  };
  EXPECT_THROW(pool.map(last_fails, numbers(1000)), std::out_of_range);
  EXPECT_EQ(trace.counts().size(), 1000u);
}

// Very short elements are claimed in blocks. When the pool has revoked the rest of a block, some of
// its elements are still undecided and come back later. If the pool believed that the worker still
// has them, that worker would never be idle again.
TEST(OnError, StopLeavesTheWorkersIdle) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.lifetime.idle_timeout = std::chrono::milliseconds(500);
  procpool::ProcessPool pool{options};
  std::vector<int> inputs(3'000'000);
  std::iota(inputs.begin(), inputs.end(), 0);
  for (int round = 0; round < 10; ++round) {
    EXPECT_THROW(pool.map<fail_in_the_middle>(inputs), std::range_error);
  }
  EXPECT_TRUE(support::until([&] {
    auto const stats = pool.stats();
    return stats.workers == 0 && stats.workers_left_idle == stats.worker_starts;
  }));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(OnError, StopInProcessIsALoop) {
  seen_here.clear();
  procpool::ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
  EXPECT_THROW(pool.map<fail_here_at_3>(std::views::iota(0)), std::out_of_range);
  EXPECT_EQ(seen_here, numbers(4));
}

// ---- finish

TEST(OnError, FinishRunsAllAndThrowsTheFirstByIndex) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  for (auto options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 7}}) {
    options.on_error = OnError::finish;
    trace.clear();
    expect_third(support::thrown_by<Third>(
        [&] { pool.with(options).map<fail_late_and_early>(numbers(200)); }));
    EXPECT_EQ(trace.size(), 200u);
    EXPECT_EQ(trace.counts().size(), 200u);
  }
  trace.clear();
  EXPECT_EQ(support::thrown_by<procpool::WorkerDied>([&] {
              pool.with({.on_error = OnError::finish}).map<crash_at_5_and_throw_at_9>(numbers(200));
            }).element(),
            5u);
  EXPECT_EQ(trace.counts().size(), 200u);
  trace.clear();
  EXPECT_THROW(pool.with({.on_error = OnError::finish}).map<void_fails_at_7>(numbers(200)),
               std::out_of_range);
  EXPECT_EQ(trace.counts().size(), 200u);
}

// ---- collect

TEST(OnError, CollectRunsAllAndTellsEveryFailure) {
  support::Trace trace;
  procpool::ProcessPool pool{3};
  for (auto options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 99}}) {
    options.on_error = OnError::collect;
    trace.clear();
    auto const errors = support::thrown_by<procpool::ElementErrors>(
        [&] { pool.with(options).map<fail_at_multiples_of_10>(numbers(100)); });
    EXPECT_EQ(trace.counts().size(), 100u);
    ASSERT_EQ(errors.failures().size(), 9u);
    for (std::size_t i = 0; i < 9; ++i) {
      auto const& failure = errors.failures()[i];
      EXPECT_EQ(failure.element, 10 * (i + 1));
      EXPECT_EQ(support::is<std::out_of_range>(failure.error), i % 2 == 0);
      EXPECT_EQ(support::is<std::range_error>(failure.error), i % 2 == 1);
      auto const origin = support::thrown_by<procpool::Origin>([&] { failure.error.rethrow(); });
      EXPECT_EQ(origin.element, failure.element);
    }
    EXPECT_NE(std::string(errors.what()).find('9'), std::string::npos) << errors.what();
  }
}

TEST(OnError, CollectTellsCrashesToo) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto const options = CallOptions{.on_error = OnError::collect};
  for (int const operation : {0, 1, 2}) {
    auto const errors = support::thrown_by<procpool::ElementErrors>([&] {
      if (operation == 0) pool.with(options).map<crash_at_5_and_throw_at_9>(numbers(50));
      if (operation == 1)
        pool.with(options).map_async<crash_at_5_and_throw_at_9>(numbers(50)).get();
      std::vector<std::tuple<int>> tuples;
      for (int i = 0; i < 50; ++i) tuples.emplace_back(i);
      if (operation == 2) pool.with(options).starmap<crash_at_5_and_throw_at_9>(tuples);
    });
    ASSERT_EQ(errors.failures().size(), 2u);
    EXPECT_EQ(errors.failures()[0].element, 5u);
    EXPECT_TRUE(support::is<procpool::WorkerDied>(errors.failures()[0].error));
    EXPECT_EQ(errors.failures()[1].element, 9u);
    EXPECT_TRUE(support::is<std::out_of_range>(errors.failures()[1].error));
  }
}

TEST(OnError, CollectOfNoFailureGivesTheResults) {
  procpool::ProcessPool pool{2};
  auto const options = CallOptions{.on_error = OnError::collect};
  EXPECT_EQ(pool.with(options).map<same>(numbers(50)), numbers(50));
  EXPECT_EQ(pool.with(options).map_async<same>(numbers(50)).get(), numbers(50));
  EXPECT_TRUE(pool.with(options).map<same>(std::vector<int>{}).empty());
}

// ---- where it is said

TEST(OnError, ComesFromTheDefaultsOfThePool) {
  support::Trace trace;
  procpool::ProcessPool pool{{.workers = 2, .defaults = {.on_error = OnError::collect}}};
  auto const inputs = numbers(100);
  EXPECT_THROW(pool.map<fail_at_multiples_of_10>(inputs), procpool::ElementErrors);
  EXPECT_THROW(pool.with({.chunk = 3}).map<fail_at_multiples_of_10>(inputs),
               procpool::ElementErrors);
  EXPECT_THROW(pool.map_async<fail_at_multiples_of_10>(inputs).get(), procpool::ElementErrors);
  EXPECT_THROW(pool.with({.on_error = OnError::finish}).map<fail_at_multiples_of_10>(inputs),
               std::out_of_range);
  // Operations that have no use for it let it be.
  EXPECT_EQ(pool.call<same>(4), 4);
  EXPECT_EQ(pool.submit<same>(4).get(), 4);
  EXPECT_THROW(pool.call<fail_at_multiples_of_10>(10), std::out_of_range);
  EXPECT_EQ(pool.outcomes().map<fail_at_multiples_of_10>(inputs).size(), 100u);
  int results = 0;
  for (int const result : pool.imap<same>(inputs)) EXPECT_EQ(result, results++);
  EXPECT_EQ(results, 100);
}

TEST(OnError, IsRefusedWhereItMeansNothing) {
  procpool::ProcessPool pool{1};
  for (OnError const how : {OnError::stop, OnError::finish, OnError::collect}) {
    auto const refused = [&](auto const& call) {
      auto const error =
          support::thrown_by<std::invalid_argument>([&] { static_cast<void>(call()); });
      EXPECT_TRUE(support::says(error, "on_error"));
    };
    refused([&] { return pool.with({.on_error = how}).submit<same>(1); });
    refused([&] { return pool.with({.on_error = how}).call<same>(1); });
    refused([&] { return pool.with({.on_error = how}).outcomes().map<same>(numbers(3)); });
    refused([&] { return pool.with({.on_error = how}).imap<same>(numbers(3)); });
    refused([&] { return pool.with({.on_error = how}).imap_unordered<same>(numbers(3)); });
  }
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(OnError, TryMapRunsAllWhateverFails) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto const outcomes = pool.outcomes().map<fail_late_and_early>(numbers(200));
  EXPECT_EQ(trace.counts().size(), 200u);
  ASSERT_EQ(outcomes.size(), 200u);
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    EXPECT_EQ(outcomes[i].has_value(), i != 3 && i != 40);
}
