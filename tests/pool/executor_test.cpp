// CallOptions::executor: continuations and callbacks run where it says, and are not lost where it fails.

#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

int square(int x) { return x * x; }

TEST(Executor, RunsContinuationsOfItsCall) {
  procpool::ProcessPool pool{1};
  std::thread::id other;
  auto const elsewhere = [&other](std::function<void()> work) {
    std::thread thread([&] {
      other = std::this_thread::get_id();
      work();
    });
    thread.join();
  };
  auto first = pool.with({.executor = elsewhere}).submit<square>(2).then([](int) {
    return std::this_thread::get_id();
  });
  EXPECT_EQ(first.get(), other);
  // A call without it is not touched.
  EXPECT_NE(pool.submit<square>(2).then([](int) { return std::this_thread::get_id(); }).get(),
            other);
}

TEST(Executor, MayKeepTheWorkForLater) {
  procpool::ProcessPool pool{1};
  std::mutex mutex;
  std::vector<std::function<void()>> queue;
  auto const later = [&](std::function<void()> work) {
    std::lock_guard const lock(mutex);
    queue.push_back(std::move(work));
  };
  auto future = pool.with({.executor = later}).submit<square>(3).then([](int x) { return x + 1; });
  ASSERT_TRUE(support::until([&] {
    std::lock_guard const lock(mutex);
    return !queue.empty();
  }));
  EXPECT_FALSE(future.ready());
  queue.front()();
  EXPECT_TRUE(future.ready());
  queue.front()();  // once more does nothing
  EXPECT_EQ(future.get(), 10);
}

TEST(Executor, OneThatThrowsOrDropsLosesNothing) {
  std::mutex mutex;
  std::string log;
  procpool::ProcessPool pool{{.workers = 1, .log = [&](std::string_view line) {
                                std::lock_guard const lock(mutex);
                                log += line;
                              }}};
  procpool::Executor const throwing = [](std::function<void()>) {
    throw std::runtime_error("executor is full");
  };
  procpool::Executor const dropping = [](std::function<void()>) {};
  auto const plus_one = [](int x) { return x + 1; };
  EXPECT_EQ(pool.with({.executor = throwing}).submit<square>(2).then(plus_one).get(), 5);
  EXPECT_EQ(pool.with({.executor = dropping}).submit<square>(2).then(plus_one).get(), 5);
  std::lock_guard const lock(mutex);
  EXPECT_NE(log.find("executor is full"), std::string::npos);
  EXPECT_NE(log.find("did not run"), std::string::npos);
}

TEST(Executor, OfThePoolServesEveryCall) {
  int used = 0;  // only by the callback thread, read when the pool is gone
  {
    procpool::CallOptions defaults;
    defaults.executor = [&used](std::function<void()> const& work) {
      ++used;
      work();
    };
    procpool::ProcessPool pool{{.workers = 1, .defaults = defaults}};
    EXPECT_EQ(pool.submit<square>(2).then([](int x) { return x; }).get(), 4);
    pool.submit<square>(2).on_ready([] {});
  }
  EXPECT_EQ(used, 2);
}

TEST(Executor, IsRefusedWhereNothingWouldRunOnIt) {
  procpool::ProcessPool pool{1};
  procpool::Executor const any = [](std::function<void()> const& work) { work(); };
  EXPECT_THROW(pool.with({.executor = any}).call<square>(2), std::invalid_argument);
}

}  // namespace
