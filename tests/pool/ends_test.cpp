// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Nothing of this may hold up the end of a pool: workers that are stopped, deaf, busy or dying in a
// row, a long queue, an initializer that hangs. Each end, each with its deadline, and what it says
// it has done.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/ends.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::End;
using support::Ends;
using support::ends_of;

namespace {

constexpr auto every_end = {End::drain, End::cancel, End::kill};

// The end takes milliseconds; this is about whether it comes.
using support::patience;

using tasks::pause_for_ever;
using tasks::square;
using tasks::who;
int stop_and_pause(int x) {
  support::Trace::note(::getpid());
  ::raise(SIGSTOP);
  return pause_for_ever(x);
}
int ignore_term(int x) {
  ::signal(SIGTERM, SIG_IGN);
  return pause_for_ever(x);
}
int spin_without_term(int) {
  ::signal(SIGTERM, SIG_IGN);
  support::Trace::note(::getpid());
  std::atomic<unsigned> count{0};
  for (;;) ++count;
}
int die(int x) {
  ::raise(SIGKILL);
  return x;
}
int fail_without_database(int) { throw std::out_of_range("no database"); }
int hang_for_ever() { return pause_for_ever(0); }

bool is_stopped(pid_t pid) { return support::stat_of(pid).state == 'T'; }

// A task that never ends by itself needs a deadline, unless it is killed at once.
std::optional<std::chrono::milliseconds> deadline_for(End end) {
  return end == End::kill ? std::nullopt : std::optional(100ms);
}

}  // namespace

// ---- workers

TEST(EndIsNotHeldUp, ByWhatStopsItselfOrIgnoresTermOrSpins) {
  for (auto* const task : {&stop_and_pause, &ignore_term, &spin_without_term}) {
    for (End const end : every_end) {
      support::Trace const trace;
      procpool::ProcessPool pool{1};
      std::vector<procpool::Future<int>> futures;
      futures.push_back(pool.submit(task, 1));
      for (int i = 0; i < 5; ++i) futures.push_back(pool.submit<square>(i));
      ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
      auto const pid = static_cast<pid_t>(trace.numbers().front());
      ASSERT_TRUE(task != &stop_and_pause || support::until([&] { return is_stopped(pid); }));
      support::Stopwatch const watch;
      auto const summary = pool.shutdown(end, deadline_for(end));
      EXPECT_LT(watch.passed(), patience);
      EXPECT_EQ(ends_of(futures), (Ends{.cancelled = 6}));
      EXPECT_EQ(summary.done, 0u);
      EXPECT_EQ(summary.cancelled, 6u);
      EXPECT_EQ(summary.forced, 1u);
      EXPECT_FALSE(support::alive(pid));
    }
  }
}

// It has nothing to do, so nothing is lost with it; but it does not leave when it is asked.
TEST(EndIsNotHeldUp, ByAnIdleWorkerThatIsStopped) {
  for (bool const by_deadline : {false, true}) {
    procpool::ProcessPool pool{
        {.workers = 1, .shutdown = {.stop_grace = by_deadline ? 10min : 100ms}}};
    pid_t const pid = pool.call<who>();
    ::kill(pid, SIGSTOP);
    ASSERT_TRUE(support::until([&] { return is_stopped(pid); }));
    support::Stopwatch const watch;
    auto const summary = by_deadline ? pool.shutdown(End::drain, 100ms) : pool.shutdown(End::drain);
    EXPECT_LT(watch.passed(), patience);
    EXPECT_EQ(summary.done, 1u);
    EXPECT_EQ(summary.cancelled, 0u);
    EXPECT_EQ(summary.forced, 1u);
    EXPECT_FALSE(support::alive(pid));
  }
}

// Every worker dies of its first element; with retries, of the same one again and again.
TEST(EndIsNotHeldUp, ByACrashLoop) {
  constexpr std::uint64_t count = 50'000;
  std::vector<int> const inputs(count);
  for (bool const retried : {false, true}) {
    for (End const end : every_end) {
      procpool::ProcessPool pool{2};
      procpool::CallOptions options{.on_error = procpool::OnError::finish};
      if (retried) options.retries.times = 1'000'000;
      auto results = pool.with(options).map_async(die, inputs);
      ASSERT_TRUE(support::until([&] { return pool.stats().worker_deaths >= 4; }));
      support::Stopwatch const watch;
      auto const summary = pool.shutdown(end, deadline_for(end));
      EXPECT_LT(watch.passed(), patience);
      EXPECT_EQ(summary.done + summary.cancelled, count);
      EXPECT_GT(summary.cancelled, 0u);
      EXPECT_EQ(pool.stats().done, count);
      ASSERT_TRUE(results.ready());
      EXPECT_THROW(results.get(), procpool::Error);
    }
  }
}

TEST(EndIsNotHeldUp, ByAFullQueue) {
  std::size_t const count = support::sanitized ? 20'000 : 100'000;
  for (End const end : every_end) {
    support::Trace const trace;
    procpool::ProcessPool pool{2};
    std::vector<procpool::Future<int>> futures;
    for (std::size_t i = 0; i < count; ++i) futures.push_back(pool.submit<pause_for_ever>(1));
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
    support::Stopwatch const watch;
    auto const summary = pool.shutdown(end, deadline_for(end));
    EXPECT_LT(watch.passed(), 10s);
    EXPECT_EQ(summary.done, 0u);
    EXPECT_EQ(summary.cancelled, count);
    EXPECT_EQ(summary.forced, 2u);
    EXPECT_EQ(ends_of(futures), (Ends{.cancelled = count}));
    EXPECT_EQ(trace.size(), 2u);
    EXPECT_EQ(pool.stats().done, count);
  }
}

TEST(EndIsNotHeldUp, ByAnInitializerThatHangs) {
  for (End const end : every_end) {
    support::Trace const trace;
    procpool::ProcessPool pool{
        {.workers = 2, .start = {.initializer = procpool::bound<hang_for_ever>()}}};
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < 2; ++i) futures.push_back(pool.submit<square>(i));
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
    support::Stopwatch const watch;
    auto const summary = pool.shutdown(end, deadline_for(end));
    EXPECT_LT(watch.passed(), patience);
    EXPECT_EQ(ends_of(futures), (Ends{.cancelled = 2}));
    EXPECT_EQ(summary.cancelled, 2u);
    for (auto const pid : trace.numbers()) EXPECT_FALSE(support::alive(static_cast<pid_t>(pid)));
  }
}

// Nobody is let go twice, no element runs in a worker that is leaving, and nobody dies for it.
TEST(EndIsNotHeldUp, ByWorkersThatAreBeingReplaced) {
  for (int round = 0; round < support::rounds(12, 4); ++round) {
    for (End const end : every_end) {
      procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 1}}};
      std::vector<procpool::Future<int>> futures;
      for (int i = 0; i < 30; ++i) futures.push_back(pool.submit<square>(i));
      std::this_thread::sleep_for(std::chrono::microseconds(700 * round));
      auto const summary = pool.shutdown(end, 40s);
      Ends const ends = ends_of(futures);
      EXPECT_EQ(ends, (Ends{.values = summary.done, .cancelled = summary.cancelled}));
      EXPECT_EQ(summary.done + summary.cancelled, 30u);
      EXPECT_TRUE(end != End::drain || summary.done == 30u) << ends;
      EXPECT_TRUE(end == End::kill || summary.forced == 0u) << summary.forced;
      EXPECT_EQ(pool.stats().worker_deaths, 0u);
    }
  }
}

// ---- pools for which there is nothing to do

TEST(EndOfNothing, IsNothing) {
  for (End const end : every_end) {
    procpool::ProcessPool unused{2};
    auto const none = unused.shutdown(end);
    EXPECT_EQ(none.done + none.cancelled + none.forced, 0u);

    procpool::ProcessPool broken{
        {.workers = 2, .start = {.initializer = procpool::bound(fail_without_database, 1)}}};
    auto future = broken.submit<square>(1);
    EXPECT_THROW(future.get(), std::out_of_range);
    EXPECT_THROW(broken.call<square>(1), std::out_of_range);
    auto const failed = broken.shutdown(end);
    EXPECT_EQ(failed.done, 1u);
    EXPECT_EQ(failed.cancelled, 0u);
    EXPECT_EQ(failed.forced, 0u);

    procpool::ProcessPool over{2};
    over.call<square>(1);
    over.join();
    auto const again = over.shutdown(end, 1ms);
    EXPECT_EQ(again.done, 1u);
    EXPECT_EQ(again.cancelled, 0u);
    EXPECT_EQ(again.forced, 0u);
  }
}

// ---- what tasks have started

TEST(EndTakesAlong, WhatTasksHaveLeftInTheirWorkersGroup) {
  for (bool const returns : {true, false}) {
    for (End const end : every_end) {
      support::Trace const trace;
      procpool::ProcessPool pool{1};
      auto const start_sleeper = [](bool to_return) {
        if (::fork() == 0) pause_for_ever(0);
        if (!to_return) pause_for_ever(0);
      };
      auto future = pool.submit(start_sleeper, returns);
      ASSERT_TRUE(support::until([&] { return trace.size() == (returns ? 1u : 2u); }));
      if (returns) future.get();
      pool.shutdown(end, returns ? std::nullopt : deadline_for(end));
      for (auto const pid : trace.numbers()) {
        EXPECT_TRUE(support::until([&] { return !support::alive(static_cast<pid_t>(pid)); }));
      }
    }
  }
}
