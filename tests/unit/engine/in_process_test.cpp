// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Start::in_process: the same bytes and outcomes, in the calling thread.

#include "engine/in_process.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <procpool/pool.hpp>

#include "support/errors.hpp"

namespace {

procpool::ProcessPool make_pool() {
  return procpool::ProcessPool{{.start = {.method = procpool::Start::in_process}}};
}

std::thread::id seen_thread;
int seen_calls = 0;
int note(int x) {
  seen_thread = std::this_thread::get_id();
  ++seen_calls;
  return -x;
}

TEST(InProcess, RunsInTheThreadThatCalls) {
  auto pool = make_pool();
  EXPECT_EQ(pool.call<note>(4), -4);
  EXPECT_EQ(seen_thread, std::this_thread::get_id());
  std::thread::id inner;
  std::thread([&] {
    inner = std::this_thread::get_id();
    EXPECT_EQ(pool.map<note>(std::vector{1, 2}), (std::vector{-1, -2}));
  }).join();
  EXPECT_EQ(seen_thread, inner);
}

TEST(InProcess, SubmitHasRunWhenItReturns) {
  auto pool = make_pool();
  seen_calls = 0;
  auto future = pool.submit<note>(4);
  EXPECT_EQ(seen_calls, 1);
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(future.get(), -4);
}

TEST(InProcess, ArgumentsAreCopiesAsInAWorker) {
  auto pool = make_pool();
  std::vector<int> const numbers{3, 1, 2};
  auto const sorted = pool.call(
      [](std::vector<int> v) {
        std::ranges::sort(v);
        return v;
      },
      numbers);
  EXPECT_EQ(sorted, (std::vector{1, 2, 3}));
  EXPECT_EQ(numbers, (std::vector{3, 1, 2}));
}

TEST(InProcess, ExceptionsKnowWhereTheyWereThrown) {
  auto pool = make_pool();
  auto const fails = [](int x) -> int {
    if (x == 2) throw std::out_of_range("two");
    return x;
  };
  auto const outcomes = pool.outcomes().map(fails, std::vector{1, 2, 3});
  auto const error = support::error_of<procpool::FromWorker<std::out_of_range>>(outcomes.at(1));
  EXPECT_STREQ(error.what(), "two");
  EXPECT_EQ(error.worker, -1);
  EXPECT_EQ(error.pid, ::getpid());
  EXPECT_EQ(error.element, 1u);
  EXPECT_NE(error.task, 0u);
  EXPECT_EQ(error.type, "std::out_of_range");
  EXPECT_EQ(outcomes[2].value(), 3);
}

TEST(InProcess, FunctionsThatReturnNothing) {
  auto pool = make_pool();
  static int sum = 0;
  pool.map([](int x) { sum += x; }, std::vector{1, 2, 3});
  EXPECT_EQ(sum, 6);
}

TEST(InProcess, ManyInputBuffers) {
  auto pool = make_pool();
  auto const texts = pool.map([](int x) { return std::to_string(x); }, std::views::iota(0, 1000));
  ASSERT_EQ(texts.size(), 1000u);
  EXPECT_EQ(texts[999], "999");
}

struct Unloadable {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
    if (Archive::is_loading::value) throw std::domain_error("cannot be loaded");
  }
  int operator()(int x) const { return x + value; }
};

TEST(InProcess, ACallableThatCannotBeLoadedFailsItsElements) {
  auto pool = make_pool();
  auto const outcomes = pool.outcomes().map(Unloadable{1}, std::vector{1, 2});
  EXPECT_TRUE(support::is<std::domain_error>(outcomes.at(0).error()));
  EXPECT_TRUE(support::is<std::domain_error>(outcomes.at(1).error()));
}

TEST(InProcess, ARangeThatThrowsInTheMiddleLeavesThePoolUsable) {
  auto pool = make_pool();
  auto const bad = std::views::iota(0, 500) | std::views::transform([](int x) {
                     return x < 300 ? x : throw std::domain_error("no more");
                   });
  EXPECT_THROW(pool.map<note>(bad), std::domain_error);
  EXPECT_EQ(pool.call<note>(1), -1);
}

TEST(InProcess, TasksMayUseAPoolThemselves) {
  auto pool = make_pool();
  auto const outer = [](int x) { return make_pool().call([](int y) { return y * 10; }, x) + 1; };
  EXPECT_EQ(pool.map(outer, std::vector{1, 2}), (std::vector{11, 21}));
}

TEST(InProcess, ClosedTakesNoMore) {
  auto pool = make_pool();
  auto future = pool.submit<note>(1);
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.submit<note>(2)), procpool::PoolClosed);
  EXPECT_THROW(pool.map<note>(std::vector{2}), procpool::PoolClosed);
  EXPECT_TRUE(pool.join_for(std::chrono::seconds(0)));
  EXPECT_EQ(future.get(), -1);
}

TEST(InProcess, ShutdownIsIdempotent) {
  auto pool = make_pool();
  pool.call<note>(1);
  EXPECT_EQ(pool.shutdown().done, 1u);
  EXPECT_EQ(pool.terminate().done, 1u);
  EXPECT_EQ(pool.shutdown(procpool::End::cancel).forced, 0u);
}

TEST(InProcess, CountsWhatItDid) {
  auto pool = make_pool();
  static procpool::ProcessPool* running_pool = nullptr;
  running_pool = &pool;
  auto const running = pool.call([](int) { return running_pool->stats().running; }, 1);
  EXPECT_EQ(running, 1u);
  EXPECT_THROW(pool.call([](int) { throw 42; }, 1), procpool::RemoteError);
  pool.map<note>(std::vector{1, 2, 3});
  auto const stats = pool.stats();
  EXPECT_EQ(stats.submitted, 5u);
  EXPECT_EQ(stats.done, 5u);
  EXPECT_EQ(stats.queued, 0u);
  EXPECT_EQ(stats.running, 0u);
  EXPECT_EQ(stats.worker_starts, 0u);
  EXPECT_EQ(pool.size(), 1u);
}

}  // namespace
