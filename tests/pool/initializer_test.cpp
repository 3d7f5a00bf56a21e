// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// StartOptions::initializer: runs in each worker before its first element; its failure is told to
// all.

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/failed_pool.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

std::string prepared;
int initializer_calls = 0;

void prepare(std::string const& text, int number) {
  support::Trace::note(::getpid());
  prepared = text + std::to_string(number);
  ++initializer_calls;
}
std::string what_was_prepared(int) { return prepared + "/" + std::to_string(initializer_calls); }
using tasks::who_runs;
void fail_with_text(std::string const& text) {
  support::Trace::note(::getpid());
  throw std::out_of_range(text);
}
void crash_at_start() { ::raise(SIGSEGV); }
void die_five_times() {
  support::Trace::note(1);
  if (support::Trace::seen(1) <= 5) ::raise(SIGKILL);
}
void hang_at_start() { std::this_thread::sleep_for(10min); }
void print_and_succeed() {}
using tasks::crash;
using tasks::square;

procpool::PoolOptions with_initializer(procpool::BoundCall initializer, int workers = 2) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.initializer = std::move(initializer);
  options.log = [](std::string_view) {};
  return options;
}

TEST(Initializer, RunsOnceInEachWorkerBeforeItsFirstElement) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_initializer(procpool::bound<prepare>("x", 7))};
  for (std::string const& found : pool.map<what_was_prepared>(std::views::iota(0, 100))) {
    EXPECT_EQ(found, "x7/1");
  }
  for (pid_t const pid : pool.map<who_runs>(std::views::iota(0, 100))) {
    EXPECT_EQ(trace.counts()[pid], 1);
  }
  auto const stats = pool.stats();
  EXPECT_EQ(stats.submitted, 200u);  // it is no task
  EXPECT_EQ(stats.done, 200u);
}

TEST(Initializer, RunsInReplacementsToo) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_initializer(procpool::bound(prepare, "y", 1), 1)};
  EXPECT_THROW(pool.call<crash>(1), procpool::WorkerDied);
  EXPECT_EQ(pool.call<what_was_prepared>(1), "y1/1");
  EXPECT_EQ(trace.counts().size(), 2u);
}

// No signal is told that the pool itself has sent.
TEST(Initializer, ItsFailureIsTheEndOfItsWorker) {
  std::mutex mutex;
  std::vector<std::string> lines;
  auto options = with_initializer(procpool::bound<fail_with_text>("no database"), 1);
  options.log = [&](std::string_view line) {
    std::lock_guard const lock(mutex);
    lines.emplace_back(line);
  };
  {
    support::Trace const trace;
    procpool::ProcessPool pool{options};
    EXPECT_THROW(pool.call<square>(1), std::out_of_range);
    EXPECT_TRUE(support::until([&] {
      return pool.worker_stats()[0].last_end.find(
                 "was ended, since its initializer has failed: std::out_of_range: no database") !=
             std::string::npos;
    })) << pool.worker_stats()[0].last_end;
  }
  for (std::string const& line : lines) {
    EXPECT_EQ(line.find("SIGKILL"), std::string::npos) << line;
  }
}

TEST(Initializer, ItsErrorReachesEveryWaiterAsItself) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_initializer(procpool::bound<fail_with_text>("no database"), 3)};
  support::expect_all_calls_fail<std::out_of_range>(pool, "no database");
  EXPECT_LE(trace.size(), 6u);
  EXPECT_LE(pool.stats().worker_starts, 6u);
}

TEST(Initializer, OneThatCrashesOrHangsFailsThePool) {
  procpool::ProcessPool crashing{with_initializer(procpool::bound<crash_at_start>())};
  EXPECT_THROW(crashing.call<square>(1), procpool::WorkerDied);
  auto options = with_initializer(procpool::bound<hang_at_start>());
  options.start.timeout = support::time_of_a_start;  // it lies in the same time
  procpool::ProcessPool hanging{options};
  EXPECT_THROW(hanging.call<square>(1), procpool::TaskTimeout);
}

// By others: it did not fail.
TEST(Initializer, MayBeKilledByOthers) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_initializer(procpool::bound<die_five_times>())};
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_EQ(trace.size(), 6u);
}

TEST(Initializer, ThePoolMayEndWhileItRuns) {
  procpool::ProcessPool pool{with_initializer(procpool::bound<hang_at_start>())};
  auto future = pool.submit<square>(1);
  pool.terminate();
  EXPECT_THROW(future.get(), procpool::TaskCancelled);
}

TEST(Initializer, WithoutArguments) {
  procpool::ProcessPool pool{with_initializer(procpool::bound<print_and_succeed>())};
  EXPECT_EQ(pool.map<square>(std::views::iota(0, 10)).back(), 81);
}

}  // namespace
