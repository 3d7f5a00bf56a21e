// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// this_task: what a task learns about itself, and how it is asked to stop before it is ended by
// force.

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <procpool.hpp>
#include <random>
#include <ranges>
#include <set>
#include <stdexcept>
#include <stop_token>
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
namespace this_task = procpool::this_task;

std::uint64_t index_of_input(int) { return this_task::index(); }
std::uint64_t random_number(int) { return this_task::random()(); }
int same_index_in_a_thread(int) {
  std::uint64_t there = 0;
  std::thread([&there] { there = this_task::index(); }).join();
  return there == this_task::index() && this_task::running() ? 1 : 0;
}

// Looks whether it shall stop; how many times it looked.
int works_until_asked(int x) {
  for (int looks = 0;; ++looks) {
    if (looks == 1) support::Trace::note(x);
    if (this_task::stop_requested()) return -x;
    std::this_thread::sleep_for(1ms);
  }
}
int throws_when_asked(int x) {
  works_until_asked(x);
  throw std::runtime_error("cleaned up");
}
int waits_for_token(int x) {
  std::stop_token const token = this_task::stop_token();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  support::Trace::note(x);
  never.wait(lock, token, [] { return false; });
  return token.stop_requested() ? -x : x;
}
int listens_but_goes_on(int x) {
  static_cast<void>(this_task::stop_requested());
  support::Trace::note(x);
  std::this_thread::sleep_for(10min);
  return x;
}
int does_not_listen(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(10min);
  return x;
}
int asked_though_new(int) { return this_task::stop_requested() ? 1 : 0; }
using tasks::who;
int in_a_forked_child(int) {
  pid_t const child = ::fork();
  if (child == 0) ::_exit(this_task::stop_requested() ? 1 : 7);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

procpool::PoolOptions with_grace(std::chrono::milliseconds grace) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.shutdown.ask_grace = grace;
  return options;
}

TEST(ThisTask, KnowsItsIndexAndWorker) {
  procpool::ProcessPool pool{3};
  for (int const chunk : {1, 7}) {
    auto const indices =
        pool.with({.chunk = chunk}).map<index_of_input>(std::views::iota(100, 300));
    for (std::size_t i = 0; i < indices.size(); ++i) EXPECT_EQ(indices[i], i);
  }
  std::size_t expected = 0;
  for (std::uint64_t const index : pool.imap<index_of_input>(std::views::iota(0, 50))) {
    EXPECT_EQ(index, expected++);
  }
  EXPECT_EQ(pool.call<index_of_input>(7), 0u);
  EXPECT_EQ(pool.call<same_index_in_a_thread>(1), 1);
  EXPECT_EQ(pool.call([] { return this_task::worker_index() == procpool::worker_index(); }), true);
  EXPECT_GE(pool.call([] { return this_task::worker_index(); }), 0);
}

TEST(ThisTask, IsNobodyOutsideOfATask) {
  EXPECT_FALSE(this_task::running());
  EXPECT_FALSE(this_task::stop_requested());
  EXPECT_THROW(this_task::index(), std::logic_error);
  EXPECT_THROW(this_task::random(), std::logic_error);
  EXPECT_THROW(static_cast<void>(this_task::stop_token()), std::logic_error);
}

TEST(ThisTask, IsThereInProcessToo) {
  procpool::ProcessPool pool{{.start = {.method = procpool::Start::in_process}, .seed = 5}};
  auto const indices = pool.map<index_of_input>(std::views::iota(0, 20));
  for (std::size_t i = 0; i < indices.size(); ++i) EXPECT_EQ(indices[i], i);
  procpool::ProcessPool other{{.workers = 1, .seed = 5}};
  other.map<index_of_input>(std::views::iota(0, 20));
  EXPECT_EQ(pool.map<random_number>(std::views::iota(0, 20)),
            other.map<random_number>(std::views::iota(0, 20)));
  EXPECT_FALSE(this_task::running());
}

// ---- random streams

std::vector<std::uint64_t> drawn(int workers, int chunk) {
  procpool::ProcessPool pool{{.workers = workers, .seed = 42}};
  auto first = pool.with({.chunk = chunk}).map<random_number>(std::views::iota(0, 200));
  auto const second = pool.map<random_number>(std::views::iota(0, 200));
  EXPECT_NE(first, second);  // each call has its own
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST(RandomStream, DependsOnTheSeedAndTheElementAlone) {
  auto const one = drawn(1, 1);
  EXPECT_EQ(std::set(one.begin(), one.end()).size(), one.size());
  EXPECT_EQ(drawn(2, 13), one);
  EXPECT_EQ(drawn(7, 200), one);
  procpool::ProcessPool other{{.workers = 2, .seed = 43}};
  EXPECT_NE(other.map<random_number>(std::views::iota(0, 200)),
            std::vector(one.begin(), one.begin() + 200));
}

int draws_and_dies_once(int x) {
  std::uint64_t const number = this_task::random()();
  support::Trace::note(static_cast<std::int64_t>(number));
  if (support::Trace::seen(static_cast<std::int64_t>(number)) == 1) ::raise(SIGKILL);
  return x;
}

TEST(RandomStream, IsTheSameWhenTheElementIsRunAgain) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  pool.with({.retries = {.times = 1}}).map<draws_and_dies_once>(std::views::iota(0, 10));
  auto const counts = trace.counts();
  EXPECT_EQ(counts.size(), 10u);
  for (auto const& [number, times] : counts) EXPECT_EQ(times, 2) << number;
}

TEST(RandomStream, OfAPoolWithoutASeedIsAnother) {
  procpool::ProcessPool first{1};
  procpool::ProcessPool second{1};
  EXPECT_NE(first.call<random_number>(0), second.call<random_number>(0));
}

// Nothing repeats within a task, through whatever object it draws.
std::set<std::uint64_t> draws_in_many_ways(int) {
  std::set<std::uint64_t> all;
  auto kept = this_task::random();
  for (int i = 0; i < 10; ++i) all.insert(this_task::random()());
  for (int i = 0; i < 10; ++i) all.insert(kept());
  std::mt19937_64 own = kept;
  for (int i = 0; i < 10; ++i) all.insert(own());
  for (int i = 0; i < 10; ++i) all.insert(kept());
  for (std::uint64_t part = 0; part < 10; ++part) all.insert(this_task::random(part)());
  std::vector<std::jthread> threads;
  std::mutex mutex;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        std::uint64_t const number = this_task::random()();
        std::lock_guard const lock(mutex);
        all.insert(number);
      }
    });
  }
  threads.clear();
  return all;
}

TEST(RandomStream, NeverRepeatsWithinATask) {
  procpool::ProcessPool pool{{.workers = 2, .seed = 1}};
  std::set<std::uint64_t> together;
  auto const each = pool.map<draws_in_many_ways>(std::views::iota(0, 20));
  for (auto const& numbers : each) {
    EXPECT_EQ(numbers.size(), 90u);
    together.insert(numbers.begin(), numbers.end());
  }
  EXPECT_EQ(together.size(), 20u * 90u);
}

// In the operations' own order of arguments, so that all of them can be compared.
double dart(std::int64_t) {
  std::uniform_real_distribution<double> place(-1, 1);
  auto random = this_task::random();
  double const x = place(random);
  return std::hypot(x, place(random));
}
std::vector<double> one_dart(std::int64_t i) { return {dart(i)}; }
std::vector<double> joined(std::vector<double> all, std::vector<double> const& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
std::vector<double> darts(std::vector<std::int64_t> const& slice) {
  std::vector<double> all;
  for (std::size_t i = 0; i < slice.size(); ++i) {
    std::uniform_real_distribution<double> place(-1, 1);
    auto random = this_task::random(i);
    double const x = place(random);
    all.push_back(std::hypot(x, place(random)));
  }
  return all;
}
std::vector<double> darts_of_the_slice(std::vector<std::int64_t> const& slice) {
  std::vector<double> all;
  for (std::int64_t const i : slice) all.push_back(dart(i));
  return all;
}

TEST(RandomStream, OfAnIndexIsTheSameForAllOperationsWorkersSlicesAndChunks) {
  constexpr std::int64_t count = 500;
  auto const inputs = std::views::iota(std::int64_t{0}, count);
  std::vector<double> expected;
  std::set<double> different;
  for (int const workers : {1, 2, 3, 5, 16}) {
    procpool::ProcessPool pool{{.workers = workers, .seed = 7}};
    auto const map = pool.with({.chunk = 3 * workers, .stream = 1}).map<dart>(inputs);
    if (expected.empty()) {
      expected = map;
      different.insert(map.begin(), map.end());
      EXPECT_EQ(different.size(), static_cast<std::size_t>(count));
    }
    EXPECT_EQ(map, expected) << workers;
    EXPECT_EQ(pool.with({.stream = 1}).parallelize<darts>(inputs), expected) << workers;
    for (int const slices : {1, 7, 64}) {
      auto call = pool.with({.slices = slices, .stream = 1});
      EXPECT_EQ(call.parallelize<darts>(inputs), expected) << workers << ' ' << slices;
      EXPECT_EQ((call.parallelize_reduce<one_dart, joined>(std::int64_t{0}, count,
                                                           std::vector<double>{})),
                expected)
          << workers << ' ' << slices;
    }
    auto const timed = pool.with({.stream = 1}).parallelize_timed<darts>(inputs);
    EXPECT_EQ(timed.values, expected) << workers;
    // Numbers of a slice as a whole are others, and none of them repeats.
    auto const of_slices = pool.with({.stream = 1}).parallelize<darts_of_the_slice>(inputs);
    std::set<double> all = different;
    all.insert(of_slices.begin(), of_slices.end());
    EXPECT_EQ(all.size(), static_cast<std::size_t>(2 * count)) << workers;
  }
}

TEST(RandomStream, InProcessAPoolHasTheSameAndStartsAnewWithEachAttempt) {
  constexpr std::int64_t count = 50;
  procpool::ProcessPool one{{.workers = 3, .seed = 7}};
  procpool::ProcessPool other{{.start = {.method = procpool::Start::in_process}, .seed = 7}};
  auto const sum = [](auto& pool) {
    return pool.template parallelize_reduce<one_dart, joined>(std::int64_t{0}, count,
                                                              std::vector<double>{});
  };
  EXPECT_EQ(sum(one), sum(other));
  static std::vector<std::uint64_t> drawn_here;
  auto const fails_once = [](int) {
    drawn_here.push_back(this_task::random()());
    if (drawn_here.size() == 1) throw std::runtime_error("once");
    return 0;
  };
  other.with({.retries = {.times = 1, .also_on = procpool::thrown<std::runtime_error>()}})
      .call(fails_once, 0);
  ASSERT_EQ(drawn_here.size(), 2u);
  EXPECT_EQ(drawn_here[0], drawn_here[1]);
}

// Threads that submit in no fixed order.
TEST(RandomStream, MayBeNamed) {
  procpool::ProcessPool pool{{.workers = 2, .seed = 9}};
  auto const named = [&](std::uint64_t name) {
    return pool.with({.stream = name}).call<random_number>(0);
  };
  std::uint64_t const numbered = pool.call<random_number>(0);
  std::vector<std::uint64_t> const first{named(0), named(1), named(2)};
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 3u);
  EXPECT_EQ((std::vector<std::uint64_t>{named(0), named(1), named(2)}), first);
  procpool::ProcessPool again{{.workers = 1, .seed = 9}};
  EXPECT_EQ(again.with({.stream = 2}).call<random_number>(0), first[2]);
  // A named call is not counted: the numbered ones are as they were without it.
  EXPECT_EQ(again.call<random_number>(0), numbered);
  EXPECT_EQ(std::ranges::count(first, numbered), 0);
  EXPECT_THROW((procpool::ProcessPool{{.defaults = {.stream = 1}}}), std::invalid_argument);
}

// ---- asked to stop

TEST(AskedToStop, ByATimeoutItMayReturnAndItsWorkerLives) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_grace(30s)};
  pid_t const worker = pool.call<&who>();
  EXPECT_EQ(pool.with({.timeout = 50ms}).call<works_until_asked>(7), -7);
  EXPECT_EQ(pool.with({.timeout = 50ms}).call<waits_for_token>(8), -8);
  EXPECT_EQ(support::thrown_by<std::runtime_error>([&] {
              pool.with({.timeout = 50ms}).call<throws_when_asked>(9);
            }).what(),
            std::string("cleaned up"));
  // The next one is not asked.
  EXPECT_EQ(pool.call<asked_though_new>(1), 0);
  EXPECT_EQ(pool.call<&who>(), worker);
  EXPECT_EQ(pool.stats().workers_timed_out, 0u);
}

TEST(AskedToStop, ByCancel) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_grace(30s)};
  pid_t const worker = pool.call<&who>();
  std::size_t runs = 0;
  for (auto* const task : {&works_until_asked, &waits_for_token}) {
    auto future = pool.submit(task, 3);
    ++runs;
    ASSERT_TRUE(support::until([&] { return trace.size() == runs; }));
    EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
    EXPECT_EQ(future.get(), -3);  // what it made of it
  }
  EXPECT_EQ(pool.call<&who>(), worker);
  EXPECT_EQ(pool.stats().workers_cancelled, 0u);
}

// Before that, the pool revoked work of the same worker.
class AskedBehindAGap : public testing::TestWithParam<support::Gap> {
 protected:
  static procpool::PoolOptions with_long_grace() {
    auto options = with_grace(30s);
    options.workers = support::MadeGap::workers(GetParam());
    return options;
  }
  template <class Task>
  static std::vector<procpool::Future<int>> submit(procpool::ProcessPool& pool,
                                                   support::MadeGap const& gap, Task task,
                                                   procpool::CallOptions const& options) {
    std::vector<procpool::Future<int>> futures;
    for (std::size_t i = 0; i < gap.calls(); ++i) {
      futures.push_back(pool.with(options).submit(task, 3));
    }
    return futures;
  }
};

TEST_P(AskedBehindAGap, ByTheDeadline) {
  support::Trace const trace;
  for (auto* const task : {&works_until_asked, &waits_for_token}) {
    procpool::ProcessPool pool{with_long_grace()};
    support::MadeGap const gap(pool, GetParam());
    for (auto& future : submit(pool, gap, task, {.timeout = 50ms})) EXPECT_EQ(future.get(), -3);
    EXPECT_EQ(pool.call<asked_though_new>(1), 0);
    EXPECT_EQ(pool.stats().workers_timed_out, 0u);
  }
}

TEST_P(AskedBehindAGap, ByCancel) {
  support::Trace trace;
  for (auto* const task : {&works_until_asked, &waits_for_token}) {
    trace.clear();
    procpool::ProcessPool pool{with_long_grace()};
    support::MadeGap const gap(pool, GetParam());
    auto futures = submit(pool, gap, task, {});
    ASSERT_TRUE(support::until([&] { return trace.size() == gap.calls(); }));
    for (auto& future : futures) {
      EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
      EXPECT_EQ(future.get(), -3);
    }
    EXPECT_EQ(pool.stats().workers_cancelled, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, AskedBehindAGap, support::each_gap(), support::NameOfGap());

TEST(AskedToStop, ItIsEndedByForceAfterTheGrace) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_grace(100ms)};
  support::Stopwatch const watch;
  EXPECT_THROW(pool.with({.timeout = 50ms}).call<listens_but_goes_on>(1), procpool::TaskTimeout);
  EXPECT_GE(watch.passed(), 150ms);
  auto future = pool.submit<listens_but_goes_on>(2);
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
  EXPECT_THROW(future.get(), procpool::TaskCancelled);
  EXPECT_EQ(pool.stats().workers_timed_out, 1u);
  EXPECT_EQ(pool.stats().workers_cancelled, 1u);
}

// A task that does not listen gets no grace, however long the grace is.
TEST(AskedToStop, OnlyWhatListensIsWaitedFor) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_grace(10min)};
  EXPECT_THROW(pool.with({.timeout = 50ms}).call<does_not_listen>(1), procpool::TaskTimeout);
  auto future = pool.submit<does_not_listen>(2);
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
}

TEST(AskedToStop, AForkedChildOfATaskIsNot) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<in_a_forked_child>(1), 7);
}

TEST(AskedToStop, GraceMustNotBeNegative) {
  EXPECT_THROW(procpool::ProcessPool{with_grace(-1ms)}, std::invalid_argument);
}

}  // namespace
