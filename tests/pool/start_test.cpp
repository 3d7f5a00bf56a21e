// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// ProcessPool::start(): workers that are there before the first call.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Start;
using tasks::square;

class PoolStart : public testing::TestWithParam<Start> {
 protected:
  void SetUp() override {
    if (support::thread_sanitized && GetParam() == Start::forkserver) {
      GTEST_SKIP() << "this sanitizer starts a thread of its own";
    }
  }
  static procpool::PoolOptions options(int workers) {
    procpool::PoolOptions options;
    options.workers = workers;
    options.start.method = GetParam();
    options.log = [](std::string_view) {};
    return options;
  }
};

}  // namespace

TEST_P(PoolStart, AllWorkersAreReadyAndInitialized) {
  support::Trace const trace;
  auto all = options(4);
  all.start.initializer = procpool::bound([] { support::Trace::note(::getpid()); });
  procpool::ProcessPool pool{all};
  pool.start().get();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.workers, 4u);
  EXPECT_EQ(stats.submitted, 0u);  // it is no task
  EXPECT_EQ(trace.counts().size(), 4u);
  // They are used, and no others are started.
  std::vector<int> const inputs(40, 3);
  EXPECT_EQ(pool.map<square>(inputs), std::vector<int>(40, 9));
  EXPECT_EQ(pool.stats().worker_starts, 4u);
  pool.start().get();  // at once
  EXPECT_EQ(pool.stats().worker_starts, 4u);
}

TEST_P(PoolStart, StartsAsManyAsAreWanted) {
  procpool::ProcessPool pool{options(4)};
  pool.start(2).get();
  EXPECT_EQ(pool.stats().workers, 2u);
  EXPECT_EQ(pool.stats().worker_starts, 2u);
  pool.start(3).get();
  EXPECT_EQ(pool.stats().worker_starts, 3u);
  EXPECT_THROW(static_cast<void>(pool.start(5)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.start(0)), std::invalid_argument);
}

TEST_P(PoolStart, DoesNotBlock) {
  support::Gate const gate;
  auto all = options(2);
  all.start.initializer = procpool::bound(support::wait_at, gate.path());
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  EXPECT_FALSE(started.ready());
  gate.open();
  started.get();
  EXPECT_EQ(pool.stats().workers, 2u);
}

TEST_P(PoolStart, FailsWithTheErrorOfThePool) {
  auto all = options(2);
  all.start.initializer = procpool::bound([] { throw std::out_of_range("no database"); });
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  auto const error = support::thrown_by<std::out_of_range>([&] { started.get(); });
  EXPECT_TRUE(support::says(error, "no database"));
  EXPECT_THROW(pool.start().get(), std::out_of_range);
}

// The pool goes on with the workers that it has.
TEST_P(PoolStart, FailsIfOneOfThemCannotBeHad) {
  support::Trace const trace;
  auto all = options(3);
  all.start.initializer = procpool::bound([] {
    if (procpool::worker_index() == 0) return;
    support::until([] { return support::Trace::seen(2) != 0; });
    throw std::out_of_range("only once");
  });
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 1; }));
  pool.call([] { support::Trace::note(2); });
  EXPECT_THROW(started.get(), std::out_of_range);
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST_P(PoolStart, MayBeCancelled) {
  support::Gate const gate;
  auto all = options(2);
  all.start.initializer = procpool::bound(support::wait_at, gate.path());
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  started.cancel();
  EXPECT_THROW(started.get(), procpool::TaskCancelled);
  gate.open();
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST_P(PoolStart, TheEndOfThePoolCancelsIt) {
  support::Gate const gate;
  auto all = options(2);
  all.start.initializer = procpool::bound(support::wait_at, gate.path());
  procpool::Future<void> started;
  {
    procpool::ProcessPool pool{all};
    started = pool.start();
    pool.close();
    EXPECT_THROW(static_cast<void>(pool.start()), procpool::PoolClosed);
  }
  EXPECT_THROW(started.get(), procpool::TaskCancelled);
}

TEST_P(PoolStart, ASmallerPoolIsEnough) {
  support::Gate const gate;
  auto all = options(3);
  all.start.initializer = procpool::bound(
      [](std::string const& path) {
        if (procpool::worker_index() != 0) support::wait_at(path);
      },
      gate.path());
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 1; }));
  EXPECT_FALSE(started.ready());
  pool.resize(1);
  ASSERT_TRUE(support::until([&] { return started.ready() || pool.stats().workers == 0; }));
  started.get();
}

// Those that are ready wait for the others, however long these take.
TEST_P(PoolStart, NobodyLeavesMeanwhileForBeingIdle) {
  support::Gate const gate;
  support::Trace const trace;
  auto all = options(2);
  all.lifetime.idle_timeout = 50ms;
  all.start.initializer = procpool::bound(
      [](std::string const& path) {
        support::Trace::note(1);
        if (procpool::worker_index() == 1) support::wait_at(path);
      },
      gate.path());
  procpool::ProcessPool pool{all};
  auto started = pool.start();
  ASSERT_TRUE(support::until([&] { return pool.stats().workers == 1 && trace.size() == 2; }));
  std::this_thread::sleep_for(200ms);  // several times the idle_timeout
  EXPECT_EQ(pool.stats().workers, 1u);
  gate.open();
  started.get();
  EXPECT_EQ(pool.stats().worker_starts, 2u);
  EXPECT_TRUE(support::until([&] { return pool.stats().workers == 0; }));
}

TEST_P(PoolStart, WorkersThatDieMeanwhileAreReplaced) {
  support::Trace const trace;
  auto all = options(2);
  all.start.initializer = procpool::bound([] {
    support::Trace::note(1);
    if (support::Trace::seen(1) <= 2) ::raise(SIGKILL);
  });
  procpool::ProcessPool pool{all};
  pool.start().get();
  EXPECT_EQ(pool.stats().workers, 2u);
}

INSTANTIATE_TEST_SUITE_P(Each, PoolStart, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(PoolStartInProcess, IsReadyAtOnce) {
  procpool::ProcessPool pool{{.start = {.method = Start::in_process}}};
  pool.start().get();
  EXPECT_EQ(pool.call<square>(3), 9);
}
