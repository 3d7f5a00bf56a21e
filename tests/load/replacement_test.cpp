// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Many tasks and many replacements of workers: memory, descriptors, threads and mappings of the
// program stay as they were. A hundredth of it, or all of it with TEST_SECONDS in the environment.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/descriptors.hpp"
#include "support/duration.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

int square(int x) { return x * x; }
int die(int x) { return x + ::raise(SIGKILL); }

struct Usage {
  support::Resources held;
  long resident = 0;
};

// Does so much of it, after a tenth of it, and holds what there is against what there was.
void expect_flat(std::string const& what, int times, std::function<void(int)> const& some) {
  some(std::max(20, times / 10));
  Usage before{support::open_resources(), support::resident_kib()};
  // The last worker may be on its way out, and its successor on its way in: as many as both have.
  for (int i = 0; i < 50; ++i) {
    std::this_thread::sleep_for(2ms);
    auto& most = before.held.descriptors;
    most = std::max(most, support::open_resources().descriptors);
  }
  support::Stopwatch const watch;
  some(times);
  auto const passed = watch.passed();
  // The last worker may be on its way out.
  Usage after;
  support::until([&] {
    after.held = support::open_resources();
    return after.held.descriptors <= before.held.descriptors;
  });
  after.resident = support::resident_kib();
  std::cout << "load: " << what << ": " << times << " in " << passed.count() << " ms; "
            << before.held << ", " << before.resident << " KiB before; " << after.held << ", "
            << after.resident << " KiB after" << std::endl;
  EXPECT_LE(after.held.descriptors, before.held.descriptors);
  EXPECT_LE(after.held.threads, before.held.threads);
  EXPECT_LE(after.held.mappings, before.held.mappings + 6);
  EXPECT_LE(after.held.children, before.held.children + 1) << "its one worker may be there or not";
  // A sanitizer keeps freed memory for a while.
  if (!support::sanitized) {
    EXPECT_LE(after.resident - before.resident, 1024) << "KiB";
  }
}

int times(int all) {
  if (support::long_form()) return all;
  return support::sanitized ? all / 200 : all / 20;
}

procpool::PoolOptions one_worker(procpool::Start start) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.start.method = start;
  return options;
}

void call_often(procpool::ProcessPool& pool, int count) {
  for (int i = 0; i < count; ++i) ASSERT_EQ(pool.call<square>(i), i * i);
}

// Calls `submit` so often, and some at a time.
void submit_often(std::string const& what, int count, procpool::ProcessPool& pool,
                  std::function<procpool::Future<int>(int)> const& submit) {
  constexpr int at_a_time = 500;
  auto const one_batch = [&](auto const& all_submitted) {
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < at_a_time; ++i) futures.push_back(submit(i));
    all_submitted();
    for (int i = 0; i < at_a_time; ++i) {
      ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
    }
  };
  // Never again do more calls wait at the same time than once here, with both workers held.
  support::Gate const gate;
  auto const held = pool.map_async<support::wait_at>(std::vector<std::string>(2, gate.path()));
  one_batch([&] { gate.open(); });
  auto const batches = [&](int total) {
    for (int done = 0; done < total; done += at_a_time) one_batch([] {});
  };
  batches(count);  // the heap and the slab find their sizes
  expect_flat(what, count, batches);
}

}  // namespace

TEST(Load, TenThousandForksLeaveTheProgramAsItWas) {
  auto options = one_worker(procpool::Start::forkserver);
  options.lifetime.max_tasks = 1;
  procpool::ProcessPool pool{options};
  expect_flat("workers, forked for one task each", times(10'000),
              [&](int count) { call_often(pool, count); });
  EXPECT_GE(pool.stats().workers_recycled, static_cast<std::uint64_t>(times(10'000)));
}

TEST(Load, ThousandsOfSpawnsLeaveTheProgramAsItWas) {
  auto options = one_worker(procpool::Start::spawn);
  options.lifetime.max_tasks = 1;
  procpool::ProcessPool pool{options};
  expect_flat("workers, spawned for one task each", times(3'000),
              [&](int count) { call_often(pool, count); });
}

TEST(Load, ThousandsOfCrashesLeaveTheProgramAsItWas) {
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::ProcessPool pool{one_worker(start)};
    bool const forks = start == procpool::Start::forkserver;
    expect_flat(std::string("crashes of workers that were ") + (forks ? "forked" : "spawned"),
                times(forks ? 3'000 : 1'500), [&](int count) {
                  for (int i = 0; i < count; ++i) {
                    ASSERT_THROW(pool.call<die>(i), procpool::WorkerDied);
                  }
                  ASSERT_EQ(pool.call<square>(3), 9);
                });
  }
}

TEST(Load, AHundredThousandTasksLeaveTheProgramAsItWas) {
  procpool::ProcessPool pool{2};
  submit_often("tasks", times(100'000), pool, [&](int i) { return pool.submit<square>(i); });
}

// They have ended long before their time.
TEST(Load, AHundredThousandTasksWithAFarDeadlineLeaveTheProgramAsItWas) {
  procpool::ProcessPool pool{2};
  auto const limited =
      pool.with({.queue_timeout = 24h, .deadline = std::chrono::steady_clock::now() + 24h});
  submit_often("tasks with a far deadline", support::sanitized ? 5'000 : 100'000, pool,
               [&](int i) { return procpool::PoolView(limited).submit<square>(i); });
  auto const late = pool.with({.deadline = std::chrono::steady_clock::now() + 50ms});
  EXPECT_THROW(procpool::PoolView(late).call([](int) { std::this_thread::sleep_for(10min); }, 0),
               procpool::TaskTimeout);
}
