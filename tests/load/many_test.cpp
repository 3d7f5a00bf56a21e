// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Many at once: workers on few cores, tasks in the queue. The cost of a queued task is measured and
// bounded.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/descriptors.hpp"
#include "support/fork_server.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

// Without overflow for a million of them.
std::int64_t square(std::int64_t x) { return x * x; }

// Ends when so many of them are there at the same time; seldom looks, since all of them do.
pid_t meet(int everybody) {
  support::Trace::note(::getpid());
  for (int look = 0; support::Trace::total() < everybody; ++look) {
    if (look == 400) return 0;
    std::this_thread::sleep_for(100ms);
  }
  return ::getpid();
}

// A worker that runs something else, and begins nothing more until it is told to go on.
class Held {
 public:
  explicit Held(procpool::ProcessPool& pool)
      : waits_(pool.submit([](std::string const& gate) { support::wait_at(gate); }, gate_.path())) {
    EXPECT_TRUE(support::until([&] { return pool.stats().running == 1; }));
  }
  void go_on() { gate_.open(); }

 private:
  support::Gate const gate_;
  procpool::Future<void> waits_;
};

void run_workers(procpool::PoolOptions options, int count, char const* how) {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  // Each has its rings, event, socket and pidfd.
  if (descriptors.rlim_cur < static_cast<rlim_t>(8 * count)) GTEST_SKIP() << "too few descriptors";
  support::Trace const trace;
  std::size_t const before = support::descriptors_of(::getpid()).size();
  {
    procpool::ProcessPool pool{options};
    support::Stopwatch const watch;
    auto const pids =
        pool.with({.chunk = 1}).map<meet>(std::vector<int>(static_cast<std::size_t>(count), count));
    auto const passed = watch.passed();
    EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), static_cast<std::size_t>(count));
    EXPECT_FALSE(std::ranges::count(pids, 0)) << "they have not met";
    EXPECT_EQ(pool.stats().workers, static_cast<unsigned>(count));
    std::cout << "load: " << count << " workers, " << how << ": all at work after "
              << passed.count() << " ms; here "
              << (support::descriptors_of(::getpid()).size() - before) /
                     static_cast<std::size_t>(count)
              << " descriptors for each" << std::endl;
    auto const values = pool.map<square>(std::views::iota(0, 20'000));
    for (int i = 0; i < 20'000; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], i * i);
  }
  EXPECT_EQ(support::descriptors_of(::getpid()).size(), before);
  EXPECT_TRUE(support::children_of(::getpid()).empty());
}

long bytes_each(long kib_before, long count) {
  return (support::resident_kib() - kib_before) * 1024 / count;
}

}  // namespace

TEST(Load, FiveHundredForkedWorkersWorkAtTheSameTime) {
  int const count = support::sanitized ? 50 : 500;
  run_workers(support::forkserver(count), count, "forked");
}

TEST(Load, FiveHundredSpawnedWorkersWorkAtTheSameTime) {
  int const count = support::sanitized ? 50 : 500;
  procpool::PoolOptions options;
  options.workers = count;
  run_workers(options, count, "spawned");
}

TEST(Load, AMillionQueuedTasksTakeLittleMemoryEach) {
  int const count = support::rounds(1'000'000, 20'000);
  procpool::ProcessPool pool{1};
  Held held(pool);
  std::vector<procpool::Future<std::int64_t>> futures;
  futures.reserve(static_cast<std::size_t>(count));
  long const before = support::resident_kib();
  for (int i = 0; i < count; ++i) futures.push_back(pool.submit<square>(i));
  long const each = bytes_each(before, count);
  EXPECT_GE(pool.stats().queued, static_cast<std::uint64_t>(count) - 1000);
  std::cout << "load: " << count << " queued submits: " << each << " bytes each" << std::endl;
  if (!support::sanitized) {
    EXPECT_LT(each, 1'500);
  }
  held.go_on();
  for (std::int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
  }
  // It goes back, though the pool lives on.
  futures.clear();
  futures.shrink_to_fit();
  if (!support::sanitized) {
    long const much = each * count / 1024 / 4;
    EXPECT_TRUE(support::until([&] { return support::resident_kib() < before + much; }))
        << support::resident_kib() - before << " KiB are still there";
  }
}

TEST(Load, AMillionQueuedElementsOfAMapTakeLittleMemoryEach) {
  int const count = support::rounds(1'000'000, 20'000);
  procpool::ProcessPool pool{1};
  Held held(pool);
  long const before = support::resident_kib();
  auto results = pool.map_async<square>(std::views::iota(0, count));
  long const each = bytes_each(before, count);
  std::cout << "load: " << count << " queued elements of a map: " << each << " bytes each"
            << std::endl;
  if (!support::sanitized) {
    EXPECT_LT(each, 50);
  }
  held.go_on();
  auto const values = results.get();
  ASSERT_EQ(values.size(), static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(values[static_cast<std::size_t>(i)], i * i);
  }
}
