// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Future: refers to one call, waits for as long as it is told and not longer, and gives its
// result once.

#include <procpool/future.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "support/fake_engine.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::detail::Bytes;
using procpool::detail::Function;
using procpool::detail::OutcomeBlock;
using procpool::detail::Payload;
using procpool::detail::Task;

Function giving_an_int() {
  Function function;
  function.result_size = sizeof(int);
  return function;
}

// A call of one element whose result is an int, to be ended by hand.
struct Open {
  std::shared_ptr<Task> task = std::make_shared<Task>(giving_an_int());
  Future<int> future{task};

  Open() {
    task->announce(1);
    task->seal();
  }
  void end(int value) {
    Bytes bytes;
    procpool::detail::encode(bytes, value);
    OutcomeBlock block;
    block.count = 1;
    block.payload = Payload(std::move(bytes));
    task->deliver(std::move(block));
  }
};

TEST(Future, ReferringToNothing) {
  Future<int> future;
  EXPECT_FALSE(future.valid());
  EXPECT_THROW(static_cast<void>(future.ready()), std::logic_error);
  EXPECT_THROW(future.wait(), std::logic_error);
  EXPECT_THROW(future.wait_for(1s), std::logic_error);
  EXPECT_THROW(future.get(), std::logic_error);
}

TEST(Future, IsReadyWhenTheCallHasEnded) {
  Open open;
  EXPECT_TRUE(open.future.valid());
  EXPECT_FALSE(open.future.ready());
  open.end(5);
  EXPECT_TRUE(open.future.ready());
  EXPECT_EQ(open.future.get(), 5);
}

TEST(Future, GivesItsResultOnce) {
  Open open;
  open.end(5);
  EXPECT_EQ(open.future.get(), 5);
  EXPECT_FALSE(open.future.valid());
  EXPECT_THROW(open.future.get(), std::logic_error);
}

TEST(Future, GivesItsErrorOnce) {
  api_test::FakePool fake;
  auto future = fake.pool.submit([](int) -> int { throw std::domain_error("no"); }, 1);
  EXPECT_THROW(future.get(), std::domain_error);
  EXPECT_FALSE(future.valid());
}

TEST(Future, CanBeMovedNotCopied) {
  static_assert(!std::is_copy_constructible_v<Future<int>>);
  Open open;
  Future<int> moved = std::move(open.future);
  EXPECT_FALSE(open.future.valid());
  EXPECT_THROW(open.future.wait(), std::logic_error);
  open.end(6);
  Future<int> assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.get(), 6);
}

TEST(Future, WaitsUntilAnotherThreadEndsTheCall) {
  Open open;
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);
    open.end(7);
  });
  open.future.wait();
  EXPECT_TRUE(open.future.ready());
  EXPECT_EQ(open.future.get(), 7);
  other.join();
}

TEST(Future, WaitsNoLongerThanItIsTold) {
  Open open;
  auto const begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(open.future.wait_for(30ms));
  auto const waited = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(waited, 30ms);
  EXPECT_LT(waited, 10s);
  EXPECT_TRUE(open.future.valid());
}

TEST(Future, WaitingForNoTimeLooksOnly) {
  Open open;
  EXPECT_FALSE(open.future.wait_for(0s));
  EXPECT_FALSE(open.future.wait_for(-5s));
  EXPECT_FALSE(open.future.wait_for(std::chrono::hours::min()));
  EXPECT_FALSE(open.future.wait_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(open.future.wait_for(
      std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())));
  open.end(1);
  EXPECT_TRUE(open.future.wait_for(0s));
}

TEST(Future, HugeTimesAreForEver) {
  auto const lasts = [](auto time) {
    Open open;
    std::thread other([&] {
      std::this_thread::sleep_for(5ms);
      open.end(1);
    });
    EXPECT_TRUE(open.future.wait_for(time));
    other.join();
  };
  lasts(std::chrono::hours::max());
  lasts(std::chrono::years::max());
  lasts(std::chrono::nanoseconds::max());
  lasts(std::chrono::milliseconds::max());
  lasts(std::chrono::duration<double>(1e300));
  lasts(std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
  lasts(std::chrono::hours(24 * 365 * 200));
}

TEST(Future, DeadlinesNeverOverflow) {
  using procpool::detail::deadline_after;
  auto const now = std::chrono::steady_clock::now();
  auto const left = Task::TimePoint::max() - now;
  using Times = std::initializer_list<std::chrono::nanoseconds>;
  for (auto const back : Times{0ns, 1ns, 1us, 1s, 30min, 1h, 2h}) {
    auto const deadline = deadline_after(left - back);
    if (deadline) {
      EXPECT_GT(*deadline, now);
    }
  }
  EXPECT_FALSE(deadline_after(left).has_value());
  EXPECT_TRUE(deadline_after(std::chrono::hours(24 * 365 * 100)).has_value());
}

TEST(Future, AFractionOfATickIsNotLost) {
  Open open;
  auto const begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(open.future.wait_for(std::chrono::duration<double, std::milli>(2.5)));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 2500us);
}

TEST(Future, OfNothing) {
  api_test::FakePool fake;
  Future<void> future = fake.pool.submit([](int) {}, 1);
  static_assert(std::is_void_v<decltype(future.get())>);
  future.get();
  EXPECT_FALSE(future.valid());
}

TEST(Future, OfABool) {
  api_test::FakePool fake;
  EXPECT_TRUE(fake.pool.submit([](int x) { return x == 1; }, 1).get());
}

TEST(Future, OutlivesItsPool) {
  Future<std::string> future;
  {
    api_test::FakePool fake;
    future = fake.pool.submit([](std::string text) { return text; }, "kept");
  }
  EXPECT_EQ(future.get(), "kept");
}

}  // namespace
