// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// LifetimeOptions::max_tasks: workers that are replaced after so many elements.

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using tasks::who_runs;
int sometimes_dies(int x) {
  if (x % 10 == 3) ::raise(SIGKILL);
  return x;
}
std::string large_text(int x) { return std::string(300'000, static_cast<char>('a' + x % 26)); }
using tasks::after;
using tasks::counts_up;

TEST(Recycling, OneMeansAProcessForEachElement) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 1}}};
  auto const pids = pool.map<who_runs>(std::views::iota(0, 30));
  EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), 30u);
  for (int const count : pool.map<counts_up>(std::views::iota(0, 10))) EXPECT_EQ(count, 1);
  EXPECT_EQ(pool.call<who_runs>(1) == pool.call<who_runs>(1), false);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Recycling, NoWorkerGetsMoreThanSoMany) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 7}}};
  for (int const chunk : {1, 3, 50}) {
    auto const pids = pool.with({.chunk = chunk}).map<who_runs>(std::views::iota(0, 100));
    std::map<pid_t, int> served;
    for (pid_t const pid : pids) ++served[pid];
    for (auto const& [pid, times] : served) EXPECT_LE(times, 7) << pid;
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Recycling, TheLastResultArrivesHoweverLargeItIs) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 1}}};
  auto const texts = pool.map<large_text>(std::views::iota(0, 20));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(texts[static_cast<std::size_t>(i)], large_text(i));
}

// A static object of which a worker does not get rid.
bool stays = false;
struct Stays {
  ~Stays() {
    while (stays) ::pause();
  }
} const lasting;
pid_t stays_at_exit(int) {
  stays = true;
  return ::getpid();
}

TEST(Recycling, AReplacementDoesNotWaitForWhoIsExiting) {
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    for (auto const output : {procpool::Output::inherit, procpool::Output::capture}) {
      std::vector<pid_t> pids;
      {
        procpool::PoolOptions options;
        options.workers = 1;
        options.start.method = start;
        options.output.mode = output;
        options.shutdown.stop_grace = std::chrono::seconds(20);
        options.lifetime.max_tasks = 1;
        procpool::ProcessPool pool{options};
        pids = pool.map<stays_at_exit>(std::views::iota(0, 6));
        EXPECT_TRUE(support::alive(pids.front()));
        EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), 6u);
        EXPECT_GE(pool.stats().workers_recycled, 5u);
        EXPECT_EQ(pool.stats().worker_deaths, 0u);
        pool.terminate();
      }
      for (pid_t const pid : pids) EXPECT_FALSE(support::alive(pid));
    }
  }
}

TEST(Recycling, WhoIsExitingHasItsGrace) {
  std::vector<pid_t> pids;
  procpool::PoolOptions options;
  options.workers = 1;
  options.shutdown.stop_grace = std::chrono::milliseconds(200);
  options.lifetime.max_tasks = 1;
  procpool::ProcessPool pool{options};
  pids = pool.map<stays_at_exit>(std::views::iota(0, 3));
  // The pool goes on, and ends it when its time is over.
  EXPECT_TRUE(support::until([&] { return !support::alive(pids.front()); }));
  EXPECT_TRUE(
      support::until([&] { return support::children_of(::getpid()).count(pids.front()) == 0; }));
}

TEST(Recycling, AlongWithCrashes) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 4}}};
  auto const outcomes = pool.outcomes().map<sometimes_dies>(std::views::iota(0, 100));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].has_value(), i % 10 != 3) << i;
  }
  EXPECT_EQ(pool.stats().worker_deaths, 10u);
}

TEST(Recycling, WhatRunsLongerThanAnyGraceIsNotDisturbed) {
  procpool::ProcessPool pool{{.workers = 1,
                              .lifetime = {.max_tasks = 2},
                              .shutdown = {.stop_grace = std::chrono::milliseconds(50)}}};
  auto const results = pool.map<after>(std::vector<int>{300, 300, 1});
  EXPECT_EQ(results, (std::vector<int>{300, 300, 1}));
}

TEST(Recycling, EndsInOrder) {
  procpool::ProcessPool pool{{.workers = 2, .lifetime = {.max_tasks = 1}}};
  auto results = pool.map_async<who_runs>(std::views::iota(0, 20));
  pool.join();
  EXPECT_EQ(results.get().size(), 20u);
}

TEST(Recycling, NumbersThatMakeNoSenseAreRefused) {
  EXPECT_THROW(procpool::ProcessPool({.lifetime = {.max_tasks = 0}}), std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool({.lifetime = {.max_tasks = -3}}), std::invalid_argument);
}

}  // namespace
