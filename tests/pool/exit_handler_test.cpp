// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// StartOptions::exit_handler: runs in each worker that leaves in good order, after its last element.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/memory.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

using tasks::after;
using tasks::who_runs;
void note_pid() { support::Trace::note(::getpid()); }
void note_text(std::string const& text) {
  support::Trace::note(static_cast<std::int64_t>(text.size()));
}
void fail_in_handler() { throw std::out_of_range("the handler failed"); }
void crash_in_handler() { ::raise(SIGSEGV); }
void hang_in_handler() { std::this_thread::sleep_for(10min); }
pid_t grows(int megabytes) {
  static std::vector<char> kept;
  kept.resize(static_cast<std::size_t>(megabytes) << 20, 'x');
  return ::getpid();
}

class HandlerLog {
 public:
  auto sink() {
    return [this](std::string_view text) {
      std::lock_guard const lock(mutex_);
      text_ += std::string(text) + "\n";
    };
  }
  bool says(std::string const& part) const {
    std::lock_guard const lock(mutex_);
    return text_.find(part) != std::string::npos;
  }
  std::string text() const {
    std::lock_guard const lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

procpool::PoolOptions with_handler(procpool::BoundCall handler, HandlerLog& log, int workers = 2) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.exit_handler = std::move(handler);
  options.log = log.sink();
  return options;
}

TEST(ExitHandler, RunsOnceInEachWorkerAtThePoolsEnd) {
  support::Trace const trace;
  HandlerLog log;
  std::set<pid_t> workers;
  {
    procpool::ProcessPool pool{with_handler(procpool::bound<note_pid>(), log)};
    for (pid_t const pid : pool.map<who_runs>(std::views::iota(0, 200))) workers.insert(pid);
    EXPECT_EQ(trace.size(), 0u);
    EXPECT_EQ(pool.stats().submitted, 200u);
    pool.join();
    EXPECT_EQ(pool.stats().submitted, 200u);  // it is no task
    EXPECT_EQ(pool.stats().done, 200u);
  }
  auto const counts = trace.counts();
  EXPECT_GE(counts.size(), workers.size());
  for (pid_t const pid : workers) EXPECT_EQ(counts.at(pid), 1);
  EXPECT_EQ(log.text(), "");
}

TEST(ExitHandler, RunsInWorkersThatAreReplacedIdleOrTooMany) {
  support::Trace trace;
  HandlerLog log;
  auto options = with_handler(procpool::bound<note_pid>(), log, 1);
  options.lifetime.max_tasks = 3;
  {
    procpool::ProcessPool pool{options};
    auto const pids = pool.map<who_runs>(std::views::iota(0, 9));
    ASSERT_TRUE(support::until([&] { return trace.size() == 3; }));
    EXPECT_EQ(trace.counts().size(), 3u);
  }
  EXPECT_EQ(trace.size(), 3u);

  trace.clear();
  options.lifetime.max_tasks.reset();
  options.lifetime.idle_timeout = 20ms;
  procpool::ProcessPool idle{options};
  idle.call<who_runs>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));

  trace.clear();
  options.lifetime.idle_timeout.reset();
  options.workers = 3;
  procpool::ProcessPool large{options};
  auto work = large.map_async<after>(std::vector<int>(30, 50));
  ASSERT_TRUE(support::until([&] { return large.stats().workers == 3; }));
  large.resize(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));

  trace.clear();
  options.lifetime.recycle_above = support::resident_of_a_worker() + (std::uint64_t{200} << 20);
  options.workers = 1;
  procpool::ProcessPool leaking{options};
  pid_t const worker = leaking.call<grows>(400);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  EXPECT_EQ(trace.numbers().front(), worker);
}

TEST(ExitHandler, HasItsArguments) {
  support::Trace const trace;
  HandlerLog log;
  std::string const large(300'000, 'a');
  {
    procpool::ProcessPool pool{with_handler(procpool::bound<note_text>(large), log, 1)};
    pool.call<who_runs>(1);
  }
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{300'000}));
}

TEST(ExitHandler, DoesNotRunInWorkersThatAreKilled) {
  support::Trace const trace;
  HandlerLog log;
  procpool::ProcessPool pool{with_handler(procpool::bound<note_pid>(), log, 1)};
  pool.call<who_runs>(1);
  pool.terminate();
  EXPECT_EQ(trace.size(), 0u);
}

TEST(ExitHandler, ItsFailureIsLoggedAndHarmsNobody) {
  HandlerLog log;
  {
    procpool::ProcessPool pool{with_handler(procpool::bound<fail_in_handler>(), log, 1)};
    EXPECT_EQ(pool.map<after>(std::vector<int>(10, 1)).size(), 10u);
    auto const summary = pool.shutdown();
    EXPECT_EQ(summary.done, 10u);
    EXPECT_EQ(summary.forced, 0u);
  }
  EXPECT_TRUE(log.says("exit handler of worker 0 failed")) << log.text();
  EXPECT_TRUE(log.says("the handler failed")) << log.text();

  HandlerLog crash_log;
  {
    procpool::ProcessPool pool{with_handler(procpool::bound<crash_in_handler>(), crash_log, 1)};
    pool.call<after>(1);
    EXPECT_EQ(pool.shutdown().done, 1u);
    EXPECT_EQ(pool.stats().done, 1u);
    EXPECT_EQ(pool.stats().worker_deaths, 0u);
  }
  EXPECT_TRUE(crash_log.says("exit handler of worker 0 failed")) << crash_log.text();
}

TEST(ExitHandler, OneThatHangsIsEnded) {
  HandlerLog log;
  auto options = with_handler(procpool::bound<hang_in_handler>(), log, 1);
  options.shutdown.stop_grace = 100ms;
  procpool::ProcessPool pool{options};
  pool.call<after>(1);
  support::Stopwatch const watch;
  auto const summary = pool.shutdown();
  EXPECT_LT(watch.passed(), 30s);
  EXPECT_EQ(summary.done, 1u);
  EXPECT_TRUE(log.says("exit handler of worker 0")) << log.text();
}

}  // namespace
