// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// "No limit", written as a very long time wherever a time is taken: it means never. Nothing fires
// at once, nothing overflows.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <procpool.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::PoolOptions;
using procpool::ProcessPool;
using procpool::Start;
using std::chrono::milliseconds;

int slow(int x) {
  std::this_thread::sleep_for(20ms);
  return x;
}
int fails(int) { throw std::runtime_error("no"); }
int waits_to_be_asked(int) {
  while (!procpool::this_task::stop_requested()) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(30ms);
  return 7;
}
using tasks::nothing;

milliseconds const long_times[] = {std::chrono::years(290), std::chrono::years(300),
                                   milliseconds::max() / 1000, milliseconds::max()};

class LongDurations : public testing::TestWithParam<Start> {
 protected:
  static PoolOptions options() { return {.workers = 1, .start = {.method = GetParam()}}; }
};

TEST_P(LongDurations, OfCalls) {
  ProcessPool pool{options()};
  for (milliseconds const time : long_times) {
    SCOPED_TRACE(time.count());
    EXPECT_EQ(pool.with({.timeout = time}).call<slow>(1), 1);
    EXPECT_EQ(pool.with({.queue_timeout = time}).map<slow>(std::vector{1, 2, 3}).size(), 3u);
    procpool::Retries const retries{
        .times = 2, .backoff = time, .also_on = procpool::thrown<std::runtime_error>()};
    auto again = pool.with({.retries = retries}).submit<fails>(1);
    EXPECT_FALSE(again.wait_for(50ms));
    again.cancel();
    EXPECT_TRUE(again.ready());
  }
}

TEST_P(LongDurations, OfWaiting) {
  for (milliseconds const time : long_times) {
    SCOPED_TRACE(time.count());
    ProcessPool pool{options()};
    EXPECT_TRUE(pool.submit<slow>(1).wait_for(time));
    EXPECT_TRUE(pool.map_async<slow>(std::vector{1, 2}).wait_for(time));
    auto future = pool.submit<slow>(1);
    pool.shutdown(procpool::End::drain, time);
    EXPECT_EQ(future.get(), 1);
    EXPECT_TRUE(pool.join_for(time));
  }
}

template <class Time>
void drains_within(Time time, PoolOptions const& options) {
  ProcessPool pool{options};
  auto future = pool.submit<slow>(1);
  pool.shutdown(procpool::End::drain, time);
  EXPECT_EQ(future.get(), 1);
}
TEST_P(LongDurations, OfAnEndInAnyUnit) {
  drains_within(std::chrono::hours::max(), options());
  drains_within(std::chrono::years::max(), options());
  drains_within(std::chrono::duration<double>(1e300), options());
}

TEST_P(LongDurations, OfPools) {
  for (milliseconds const time : long_times) {
    SCOPED_TRACE(time.count());
    PoolOptions given = options();
    given.shutdown.timeout = time;
    given.start.timeout = time;
    given.start.initializer = procpool::bound<nothing>();
    given.start.exit_handler = procpool::bound<nothing>();
    given.shutdown.stop_grace = time;
    given.shutdown.term_grace = time;
    given.shutdown.ask_grace = time;
    given.lifetime.recycle_after = time;
    given.lifetime.idle_timeout = time;
    given.limits.cpu_time = std::chrono::duration_cast<std::chrono::seconds>(time);
    procpool::Future<int> last;
    {
      ProcessPool pool{given};
      EXPECT_EQ(pool.map<slow>(std::vector{1, 2, 3}).size(), 3u);
      std::this_thread::sleep_for(50ms);
      EXPECT_EQ(pool.call<slow>(1), 1);
      // A task that listens has as long as it likes.
      auto asked = pool.submit<waits_to_be_asked>(1);
      std::this_thread::sleep_for(30ms);
      EXPECT_EQ(asked.cancel(), procpool::Cancel::ended);
      EXPECT_EQ(asked.get(), 7);
      EXPECT_EQ(pool.with({.timeout = 30ms}).call<waits_to_be_asked>(1), 7);
      EXPECT_EQ(pool.stats().worker_starts, 1u);
      // A worker without a handler is ended by its first signal.
      auto running = pool.submit<slow>(1000);
      running.wait_for(5ms);
      running.cancel();
      EXPECT_EQ(pool.call<slow>(2), 2);
      last = pool.submit<slow>(3);
    }
    EXPECT_EQ(last.get(), 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Starts, LongDurations, testing::Values(Start::spawn, Start::forkserver),
                         support::start_name);

}  // namespace
