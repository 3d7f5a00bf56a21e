// this_task: what a task learns about itself, and how it is asked to stop before it is ended by force.

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
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
pid_t who() { return ::getpid(); }
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
  options.ask_grace = grace;
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
  procpool::ProcessPool pool{{.start = procpool::Start::in_process, .seed = 5}};
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
  pool.with({.retries = 1}).map<draws_and_dies_once>(std::views::iota(0, 10));
  auto const counts = trace.counts();
  EXPECT_EQ(counts.size(), 10u);
  for (auto const& [number, times] : counts) EXPECT_EQ(times, 2) << number;
}

TEST(RandomStream, OfAPoolWithoutASeedIsAnother) {
  procpool::ProcessPool first{1};
  procpool::ProcessPool second{1};
  EXPECT_NE(first.call<random_number>(0), second.call<random_number>(0));
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

// What does not listen is not given the grace, however long that is.
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
