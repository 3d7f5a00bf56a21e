// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// CallOptions::key: equal keys run in one worker.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

using tasks::counts_up;
using tasks::who_after;
using tasks::who_runs;
pid_t dies_under_key(int) {
  ::raise(SIGKILL);
  return 0;
}
using tasks::note_behind;
using tasks::noted;
constexpr int deadly = 300;
int note_or_die(int number) {
  if (number % deadly == deadly - 1) ::raise(SIGKILL);
  return noted(number);
}

TEST(Key, EqualOnesRunInOneWorker) {
  procpool::ProcessPool pool{3};
  std::map<int, std::set<pid_t>> workers;
  std::vector<std::pair<int, procpool::Future<pid_t>>> futures;
  for (int i = 0; i < 300; ++i) {
    int const key = i % 9;
    futures.emplace_back(key, pool.with({.key = key}).submit<who_runs>(i));
  }
  for (auto& [key, future] : futures) workers[key].insert(future.get());
  std::set<pid_t> all;
  for (auto const& [key, pids] : workers) {
    EXPECT_EQ(pids.size(), 1u) << "key " << key;
    all.insert(pids.begin(), pids.end());
  }
  EXPECT_EQ(all.size(), 3u);  // and the keys are spread
}

TEST(Key, OfATextOrANumber) {
  procpool::ProcessPool pool{2};
  std::string const name = "alice";
  pid_t const worker = pool.with({.key = name}).call<who_runs>(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(pool.with({.key = "alice"}).call<who_runs>(i), worker);
  }
  for (auto const& pids : {pool.with({.key = "alice"}).map<who_runs>(std::views::iota(0, 50))}) {
    for (pid_t const pid : pids) EXPECT_EQ(pid, worker);
  }
}

// Its tasks wait for their worker, even while another is idle.
TEST(Key, WaitsForItsWorker) {
  procpool::ProcessPool pool{2};
  pool.map<who_after>(std::vector<int>(2, 20));  // both are there
  pid_t const worker = pool.with({.key = 1}).call<who_runs>(1);
  auto busy = pool.with({.key = 1}).submit<who_after>(1000);
  std::vector<procpool::Future<pid_t>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.with({.key = 1}).submit<who_runs>(i));
  EXPECT_NE(pool.call<who_runs>(1), worker);  // the others do not
  EXPECT_FALSE(busy.ready());
  for (auto& future : futures) EXPECT_EQ(future.get(), worker);
}

TEST(Key, KeepsTheOrderOfItsSubmits) {
  support::Trace const trace;
  procpool::ProcessPool pool{3};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(pool.with({.key = "one"}).submit<noted>(i));
  for (auto& future : futures) future.get();
  auto const numbers = trace.numbers();
  ASSERT_EQ(numbers.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(numbers[static_cast<std::size_t>(i)], i);
}

// Short ones go to their worker several at a time, and come back from it when others are cancelled.
TEST(Key, KeepsTheOrderWhileOthersAreCancelled) {
  constexpr int calls = 20'000;
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  std::atomic<bool> over{false};
  std::thread others([&] {
    while (!over) {
      auto unkeyed = pool.submit<who_runs>(1);
      auto keyed = pool.with({.key = "one"}).submit<who_runs>(1);
      unkeyed.cancel();
      keyed.cancel();
    }
  });
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < calls; ++i) {
    futures.push_back(pool.with({.key = "one"}).submit<noted>(i));
  }
  for (int i = 0; i < calls; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
  over = true;
  others.join();
  auto const numbers = trace.numbers();
  EXPECT_EQ(numbers.size(), static_cast<std::size_t>(calls));
  EXPECT_TRUE(std::ranges::is_sorted(numbers));
}

// Those that had not begun go on, each once and in their order.
TEST(Key, KeepsTheOrderAcrossDeaths) {
  constexpr int calls = 3'000;
  support::Trace const trace;
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = procpool::Start::forkserver}}};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < calls; ++i) {
    futures.push_back(pool.with({.key = i % 2}).submit<note_or_die>(i));
  }
  for (int i = 0; i < calls; ++i) {
    auto& future = futures[static_cast<std::size_t>(i)];
    if (i % deadly == deadly - 1) {
      EXPECT_THROW(future.get(), procpool::WorkerDied) << i;
    } else {
      EXPECT_EQ(future.get(), i);
    }
  }
  std::array<std::vector<std::int64_t>, 2> of_key;
  for (std::int64_t const number : trace.numbers()) {
    of_key[static_cast<std::size_t>(number % 2)].push_back(number);
  }
  EXPECT_EQ(of_key[0].size(), std::size_t{calls / 2});
  EXPECT_EQ(of_key[1].size(), std::size_t{calls / 2 - calls / deadly});
  for (auto const& numbers : of_key) EXPECT_TRUE(std::ranges::is_sorted(numbers));
}

// Nobody waits until all elements of another key are through.
TEST(Key, GoesByTheAgeOfItsElements) {
  procpool::ProcessPool pool{1};
  support::Trace const trace;
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 5'000; ++i) {
    futures.push_back(pool.with({.key = i % 10 == 9 ? 2 : 1}).submit<noted>(i));
  }
  for (auto& future : futures) future.get();
  EXPECT_TRUE(std::ranges::is_sorted(trace.numbers()));
}

TEST(Key, AlongWithPriorities) {
  support::Trace const trace;
  support::Gate const gate;
  procpool::ProcessPool pool{1};
  auto busy = pool.with({.key = 1}).submit<note_behind>(0, gate.path());
  ASSERT_TRUE(support::until([&] { return pool.stats().records == 1; }));
  std::vector<procpool::Future<int>> futures;
  futures.push_back(pool.with({.key = 1}).submit<noted>(1));  // ahead in the worker's inbox
  ASSERT_TRUE(support::until([&] { return pool.stats().records == 2; }));
  for (int const priority : {1, 3, 2}) {
    futures.push_back(pool.with({.priority = priority, .key = 1}).submit<noted>(10 * priority));
    futures.push_back(pool.with({.priority = priority}).submit<noted>(10 * priority + 1));
  }
  gate.open();
  for (auto& future : futures) future.get();
  busy.get();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{0, 1, 30, 31, 20, 21, 10, 11}));
}

TEST(Key, MovesOnWhenItsWorkerDies) {
  procpool::ProcessPool pool{2};
  auto const keyed = [&pool] { return pool.with({.key = 7}); };
  pid_t const first = keyed().call<who_runs>(1);
  EXPECT_THROW(keyed().call<dies_under_key>(1), procpool::WorkerDied);
  std::set<pid_t> after;
  for (int i = 0; i < 20; ++i) after.insert(keyed().call<who_runs>(i));
  EXPECT_EQ(after.size(), 1u);
  EXPECT_FALSE(after.contains(first));
}

TEST(Key, KeepsTheStateOfItsWorker) {
  procpool::ProcessPool pool{4};
  for (int i = 1; i <= 30; ++i) EXPECT_EQ(pool.with({.key = "state"}).call<counts_up>(0), i);
}

// Of many places only the one that the key is bound to gets a worker.
TEST(Key, StartsJustItsWorker) {
  procpool::ProcessPool pool{{.workers = 8, .lifetime = {.idle_timeout = 400ms}}};
  for (int key = 0; key < 8; ++key) pool.with({.key = key}).call<who_runs>(1);
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 0; }));
  auto const before = pool.stats().worker_starts;
  for (int i = 0; i < 5; ++i) pool.with({.key = 6}).call<who_runs>(1);
  EXPECT_EQ(pool.stats().worker_starts, before + 1);
}

TEST(Key, CanBeCancelledResizedAndEnded) {
  procpool::ProcessPool pool{3};
  std::vector<procpool::Future<pid_t>> futures;
  for (int i = 0; i < 60; ++i) futures.push_back(pool.with({.key = i}).submit<who_after>(5));
  EXPECT_NE(futures.back().cancel(), procpool::Cancel::ended);
  pool.resize(1);
  for (std::size_t i = 0; i + 1 < futures.size(); ++i) EXPECT_GT(futures[i].get(), 0);
  auto waiting = pool.with({.key = 3}).map_async<who_after>(std::vector<int>(100, 50));
  pool.terminate();
  EXPECT_THROW(waiting.get(), procpool::TaskCancelled);
}

}  // namespace
