// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The thread of the client has no memory, again and again: the program goes on, and no element is lost.

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <procpool.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/fake_cluster.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using support::FakeCluster;
using tasks::numbers;

// Of the thread of the client, outside of its link: so many allocations until one fails; 0: none does.
constinit thread_local unsigned until_refused = 0;
std::atomic<std::uint64_t> refused{0};

// Short steps are hit in each place, and long ones have a chance to get to their end.
unsigned draw_gap() {
  static std::minstd_rand random(7);  // for the one thread
  return 1u << std::uniform_int_distribution<unsigned>(0, 9)(random);
}

void be_scarce(bool in_wait) {
  until_refused = 0;
  if (!in_wait) until_refused = draw_gap();
}

void* allocate(std::size_t size) {
  if (until_refused != 0 && --until_refused == 0) {
    until_refused = draw_gap();
    refused.fetch_add(1, std::memory_order_relaxed);
    throw std::bad_alloc();
  }
  if (void* const place = std::malloc(size)) return place;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void operator delete(void* place) noexcept { std::free(place); }
void operator delete(void* place, std::size_t) noexcept { std::free(place); }

namespace {

int odd_ones_end_badly(int x) {
  if (x % 8 == 3) throw std::out_of_range("odd " + std::to_string(x));
  return x % 50 == 7 ? ::raise(SIGSEGV) : x;
}
int waits_noted(int x, std::string const& gate) {
  support::Trace::note(x);
  support::wait_at(gate);
  return x;
}
int sum_of(procpool::Shared<std::vector<int>> const& values, int x) {
  return values->at(static_cast<std::size_t>(x)) + x;
}

}  // namespace

TEST(ClusterMemory, AClientThatHasNoneWaitsAndLosesNothing) {
  auto options = FakeCluster::quick();
  options.beat = 50ms;
  FakeCluster cluster(3, options);
  cluster.faults.in_wait = be_scarce;
  auto pool = cluster.pool();
  auto const outcomes = pool.outcomes().map<odd_ones_end_badly>(numbers(400));
  for (std::size_t i = 0; i < 400; ++i) {
    if (i % 8 == 3) {
      EXPECT_EQ(outcomes[i].error().kind(), procpool::FailureKind::threw) << i;
    } else if (i % 50 == 7) {
      EXPECT_EQ(outcomes[i].error().kind(), procpool::FailureKind::died) << i;
    } else {
      EXPECT_EQ(*outcomes[i], static_cast<int>(i));
    }
  }
  auto const values = pool.share(numbers(100));
  auto const sums = pool.map<sum_of>(std::vector(100, values), numbers(100));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(sums[i], static_cast<int>(2 * i));
  int next = 0;
  for (int const x : pool.imap<tasks::same>(numbers(300))) EXPECT_EQ(x, next++);
  EXPECT_EQ(next, 300);
  procpool::Retries retries;
  retries.times = 2;
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.with({.retries = retries}).call<tasks::crash>(0); });
  EXPECT_EQ(died.attempts(), 3u);
  EXPECT_GT(refused.load(), 50u);
}

TEST(ClusterMemory, AHostIsLostAndCallsAreCancelledWithoutIt) {
  support::Trace const trace;
  auto options = FakeCluster::quick();
  options.beat = 50ms;
  options.lost_after = 5s;
  FakeCluster cluster(3, options);
  cluster.faults.in_wait = be_scarce;
  auto pool = cluster.pool();
  support::Gate const gate;
  std::vector<std::pair<int, std::string>> inputs;
  for (int i = 0; i < 60; ++i) inputs.emplace_back(i, gate.path());
  auto waiting = pool.outcomes().starmap_async<waits_noted>(inputs);
  auto unwanted = pool.starmap_async<waits_noted>(inputs);
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  unwanted.cancel();
  EXPECT_THROW(unwanted.get(), procpool::TaskCancelled);
  cluster.faults.cut = 2;
  EXPECT_TRUE(support::until([&] { return pool.size() == 4; }));
  gate.open();
  EXPECT_EQ(support::lost_with("node1", waiting.get()), 2u);
  EXPECT_GT(refused.load(), 0u);
}
