// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pool tells about itself: counters that agree, each worker's share, reasons, titles in `ps`.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace insight_test {

int compute_something(int milliseconds) {
  support::Trace::note(milliseconds);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

}  // namespace insight_test

namespace {

using namespace std::chrono_literals;
using insight_test::compute_something;

using tasks::square;
using tasks::who;
int dies_in_task(int x) { return x + ::raise(SIGKILL); }
int spins(int milliseconds) {
  auto const end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < end) {
  }
  return milliseconds;
}

TEST(Insight, CountersAgreeAtEveryMoment) {
  procpool::ProcessPool pool{2};
  std::atomic<bool> over{false};
  std::thread watcher([&] {
    while (!over) {
      auto const stats = pool.stats();
      EXPECT_EQ(stats.queued + stats.running + stats.done, stats.submitted);
    }
  });
  for (int i = 0; i < 30; ++i) {
    pool.map<square>(std::views::iota(0, 500));
    auto future = pool.submit<spins>(1);
    future.cancel();
  }
  over = true;
  watcher.join();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(stats.submitted, 30u * 501);
}

TEST(Insight, SaysWhatEachWorkerDid) {
  procpool::ProcessPool pool{2};
  auto work = pool.with({.chunk = 1}).map_async<spins>(std::vector<int>(40, 20));
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 2; }));
  work.get();
  auto const workers = pool.worker_stats();
  ASSERT_EQ(workers.size(), 2u);
  std::uint64_t done = 0;
  std::chrono::nanoseconds busy{0};
  for (unsigned i = 0; i < 2; ++i) {
    EXPECT_EQ(workers[i].index, i);
    EXPECT_EQ(workers[i].starts, 1u);
    EXPECT_TRUE(support::alive(workers[i].pid));
    EXPECT_GE(workers[i].busy, workers[i].done * 20ms);
    EXPECT_EQ(workers[i].last_end, "");
    done += workers[i].done;
    busy += workers[i].busy;
  }
  EXPECT_EQ(done, 40u);
  EXPECT_GE(busy, 800ms);
}

TEST(Insight, SaysWhyWorkersEnded) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.call<dies_in_task>(1), procpool::WorkerDied);
  ASSERT_TRUE(support::until([&] { return pool.worker_stats()[0].pid == 0; }));
  EXPECT_NE(pool.worker_stats()[0].last_end.find("SIGKILL"), std::string::npos);
  EXPECT_THROW(pool.with({.timeout = 20ms}).call<spins>(60'000), procpool::TaskTimeout);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.worker_deaths, 1u);
  EXPECT_EQ(stats.workers_timed_out, 1u);
  EXPECT_EQ(pool.call<square>(2), 4);
  EXPECT_EQ(pool.worker_stats()[0].starts, 3u);
}

TEST(Insight, CountsRetries) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.retries = {.times = 3}}).call<dies_in_task>(1), procpool::WorkerDied);
  EXPECT_EQ(pool.stats().retries, 3u);
  EXPECT_EQ(pool.stats().worker_deaths, 4u);
}

std::string command_line(pid_t pid) {
  std::string text = support::read_text(support::proc(pid, "cmdline"));
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  return text;
}

TEST(Insight, TheProcessListShowsWhatRuns) {
  support::Trace const trace;
  procpool::ProcessPool pool{{.workers = 1, .name = "solver"}};
  pid_t const worker = pool.call<&who>();
  EXPECT_EQ(support::read_text(support::proc(worker, "comm")), "solver/0\n");
  EXPECT_NE(command_line(worker).find("[solver/0]"), std::string::npos);
  auto future = pool.submit<compute_something>(1000);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  EXPECT_NE(command_line(worker).find("[solver/0] insight_test::compute_something"),
            std::string::npos)
      << command_line(worker);
  future.get();
  EXPECT_TRUE(support::until([&] {
    return command_line(worker).find("compute_something") == std::string::npos;
  })) << command_line(worker);
}

}  // namespace
