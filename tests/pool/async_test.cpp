// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// map_async and starmap_async: the results of a map as one handle, which may be waited for, asked
// how far it has come, cancelled, dropped, and kept longer than the pool.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::OnError;

namespace {

using tasks::add;
using tasks::boxed;
using tasks::note;
using tasks::square;
int fail_at_3_and_5(int x) {
  if (x == 3) throw std::out_of_range("three");
  if (x == 5) ::raise(SIGSEGV);
  return x;
}

int behind_gate(int x, std::string const& gate) {
  support::Trace::note(x);
  support::wait_at(gate);
  return x;
}
auto behind(support::Gate const& gate) { return procpool::bind_back<behind_gate>(gate.path()); }

using tasks::numbers;

}  // namespace

TEST(MapAsync, GivesWhatMapGives) {
  procpool::ProcessPool pool{2};
  procpool::Results<int> results = pool.map_async<square>(numbers(200));
  EXPECT_EQ(results.get(), pool.map<square>(numbers(200)));
  EXPECT_EQ(pool.map_async(add, numbers(3), std::vector{10, 20}).get(), (std::vector{10, 21}));
  EXPECT_EQ(pool.with({.chunk = 7}).map_async<square>(std::views::iota(0, 50)).get().back(), 2401);
  EXPECT_EQ(pool.starmap_async<add>(std::vector<std::tuple<int, int>>{{1, 2}, {3, 4}}).get(),
            (std::vector{3, 7}));
  EXPECT_EQ(pool.starmap_async(add, std::vector<std::pair<int, int>>{{5, 6}}).get(),
            std::vector{11});
  EXPECT_EQ(*pool.map_async<boxed>(numbers(3)).get().at(2), 2);
}

TEST(MapAsync, ReturnsBeforeTheElementsEnd) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  support::Gate gate;
  auto results = pool.map_async(behind(gate), numbers(10));
  EXPECT_TRUE(results.valid());
  EXPECT_FALSE(results.ready());
  EXPECT_FALSE(results.wait_for(0ms));
  EXPECT_FALSE(results.wait_for(20ms));
  EXPECT_EQ(results.total(), 10u);
  EXPECT_EQ(results.done(), 0u);
  gate.open();
  EXPECT_TRUE(results.wait_for(30s));
  EXPECT_TRUE(results.ready());
  results.wait();
  EXPECT_EQ(results.done(), 10u);
  EXPECT_EQ(results.failed(), 0u);
  EXPECT_EQ(results.get(), numbers(10));
}

TEST(MapAsync, IsGotOnce) {
  procpool::ProcessPool pool{1};
  auto results = pool.map_async<square>(numbers(3));
  EXPECT_EQ(results.get().size(), 3u);
  EXPECT_FALSE(results.valid());
  EXPECT_THROW(results.get(), std::logic_error);
  EXPECT_THROW(results.wait(), std::logic_error);
  EXPECT_THROW(results.cancel(), std::logic_error);
  EXPECT_THROW(static_cast<void>(results.ready()), std::logic_error);
  EXPECT_THROW(static_cast<void>(results.total()), std::logic_error);
  EXPECT_THROW(static_cast<void>(results.done()), std::logic_error);
  procpool::Results<int> none;
  EXPECT_FALSE(none.valid());
  EXPECT_THROW(none.get(), std::logic_error);
  // After an error, too.
  auto failed = pool.map_async<fail_at_3_and_5>(numbers(4));
  EXPECT_THROW(failed.get(), std::out_of_range);
  EXPECT_FALSE(failed.valid());
  EXPECT_THROW(failed.get(), std::logic_error);
}

TEST(MapAsync, MovesWithItsHandle) {
  procpool::ProcessPool pool{1};
  auto first = pool.map_async<square>(numbers(4));
  auto second = std::move(first);
  EXPECT_FALSE(first.valid());
  EXPECT_EQ(second.total(), 4u);
  first = std::move(second);
  std::vector<int> values;
  std::thread([&values, moved = std::move(first)]() mutable { values = moved.get(); }).join();
  EXPECT_EQ(values, (std::vector{0, 1, 4, 9}));
}

TEST(MapAsync, OfNothingIsReady) {
  procpool::ProcessPool pool{2};
  auto results = pool.map_async<square>(std::vector<int>{});
  EXPECT_TRUE(results.ready());
  EXPECT_EQ(results.total(), 0u);
  EXPECT_EQ(results.done(), 0u);
  results.cancel();
  EXPECT_TRUE(results.get().empty());
  EXPECT_TRUE(pool.starmap_async<add>(std::vector<std::tuple<int, int>>{}).get().empty());
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(MapAsync, OfAVoidFunctionGivesNothing) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  procpool::Results<void> results = pool.map_async<note>(numbers(50));
  static_assert(std::is_void_v<decltype(results.get())>);
  results.get();
  EXPECT_EQ(trace.counts().size(), 50u);
  EXPECT_FALSE(results.valid());
}

TEST(MapAsync, CancelledNeverBeginsWhatHasNotBegun) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  for (int const chunk : {1, 20}) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    trace.clear();
    support::Gate gate;
    auto results = pool.with({.chunk = chunk}).map_async(behind(gate), numbers(20));
    ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
    EXPECT_EQ(results.total(), 20u);
    EXPECT_EQ(results.cancel(), procpool::Cancel::ended);  // what ran, and what waited with it
    EXPECT_EQ(results.total(), 20u);
    EXPECT_EQ(results.cancel(), procpool::Cancel::too_late);
    EXPECT_TRUE(results.ready());
    gate.open();
    EXPECT_EQ(results.total(), 20u);
    EXPECT_EQ(results.done(), 20u);
    EXPECT_EQ(results.failed(), 0u);
    EXPECT_THROW(results.get(), procpool::TaskCancelled);
    EXPECT_EQ(pool.call<square>(3), 9);
    EXPECT_EQ(trace.numbers(), std::vector<std::int64_t>{0});
  }
}

TEST(MapAsync, CancelAffectsOneCallOnly) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  support::Gate gate;
  auto blocker = pool.submit(behind(gate), 1000);
  auto first = pool.map_async<square>(numbers(20));
  auto second = pool.map_async<square>(numbers(20));
  auto third = pool.starmap_async<add>(std::vector<std::tuple<int, int>>{{1, 2}});
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  second.cancel();
  gate.open();
  EXPECT_EQ(blocker.get(), 1000);
  EXPECT_EQ(first.get().back(), 361);
  EXPECT_THROW(second.get(), procpool::TaskCancelled);
  EXPECT_EQ(third.get(), std::vector{3});
}

TEST(MapAsync, CancelAfterTheEndChangesNothing) {
  procpool::ProcessPool pool{2};
  auto results = pool.map_async<square>(numbers(20));
  results.wait();
  results.cancel();
  EXPECT_EQ(results.get().back(), 361);
}

// Another thread watches while it runs: the total does not move, the others only grow.
TEST(MapAsync, CountsWhileItRuns) {
  procpool::ProcessPool pool{2};
  auto results = pool.with({.on_error = OnError::finish})
                     .map_async(
                         [](int x) {
                           if (x % 10 == 0) throw std::runtime_error("every tenth");
                           std::this_thread::sleep_for(20us);
                           return x;
                         },
                         numbers(2000));
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  bool over = false;
  while (!over) {
    over = results.ready();
    std::uint64_t const failed_now = results.failed();
    std::uint64_t const done_now = results.done();
    ASSERT_EQ(results.total(), 2000u);
    ASSERT_GE(done_now, done);
    ASSERT_GE(failed_now, failed);
    ASSERT_LE(failed_now, done_now);
    done = done_now;
    failed = failed_now;
  }
  EXPECT_EQ(done, 2000u);
  EXPECT_EQ(failed, 200u);
  EXPECT_THROW(results.get(), std::runtime_error);
}

TEST(MapAsync, ThrowsAsMapDoes) {
  procpool::ProcessPool pool{2};
  EXPECT_THROW(pool.map_async<fail_at_3_and_5>(numbers(10)).get(), std::out_of_range);
  auto late = pool.map_async<fail_at_3_and_5>(std::vector{0, 1, 5, 2});
  EXPECT_EQ(support::thrown_by<procpool::WorkerDied>([&] { late.get(); }).element(), 2u);
  auto all = pool.with({.on_error = OnError::collect}).map_async<fail_at_3_and_5>(numbers(10));
  all.wait();
  EXPECT_EQ(all.failed(), 2u);
  auto const errors = support::thrown_by<procpool::ElementErrors>([&] { all.get(); });
  ASSERT_EQ(errors.failures().size(), 2u);
  EXPECT_EQ(errors.failures()[0].element, 3u);
  EXPECT_EQ(errors.failures()[1].element, 5u);
}

// They keep the call from being made: nothing runs in the end.
TEST(MapAsync, InputsThatThrowAreThrownByTheCall) {
  procpool::ProcessPool pool{2};
  auto const inputs = std::views::iota(0, 5000) | std::views::transform([](int x) {
                        if (x == 4000) throw std::underflow_error("no more of these");
                        return x;
                      });
  EXPECT_THROW(static_cast<void>(pool.map_async<square>(inputs)), std::underflow_error);
  EXPECT_EQ(pool.stats().done, pool.stats().submitted);
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.map_async<square>(numbers(3))), procpool::PoolClosed);
}

TEST(MapAsync, DroppedItRunsAllTheSame) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  {
    auto const dropped = pool.map_async<note>(numbers(100));
  }
  pool.join();
  EXPECT_EQ(trace.counts().size(), 100u);
  EXPECT_EQ(pool.stats().done, 100u);
}

TEST(MapAsync, OutlivesItsPool) {
  support::Trace trace;
  std::optional<procpool::ProcessPool> pool(std::in_place, 2);
  auto drained = pool->map_async<square>(numbers(100));
  pool.reset();
  EXPECT_TRUE(drained.ready());
  EXPECT_EQ(drained.done(), 100u);
  drained.cancel();
  EXPECT_EQ(drained.get().back(), 9801);

  pool.emplace(1);
  support::Gate gate;
  auto killed = pool->with({.chunk = 1}).map_async(behind(gate), numbers(10));
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  pool->terminate();
  pool.reset();
  EXPECT_TRUE(killed.ready());
  killed.cancel();
  EXPECT_EQ(killed.total(), 10u);
  EXPECT_EQ(killed.done(), 10u);
  EXPECT_THROW(killed.get(), procpool::TaskCancelled);
}

TEST(MapAsync, ManyAtOnceAreAllGiven) {
  procpool::ProcessPool pool{3};
  std::vector<procpool::Results<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(pool.map_async<square>(numbers(i)));
  for (int i = 49; i >= 0; --i) {
    auto const values = all[static_cast<std::size_t>(i)].get();
    ASSERT_EQ(values.size(), static_cast<std::size_t>(i));
    for (int j = 0; j < i; ++j) ASSERT_EQ(values[static_cast<std::size_t>(j)], j * j);
  }
}

TEST(MapAsync, InProcessIsReadyAtOnce) {
  procpool::ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
  auto results = pool.map_async<square>(numbers(10));
  EXPECT_TRUE(results.ready());
  EXPECT_EQ(results.total(), 10u);
  EXPECT_EQ(results.get().back(), 81);
}
