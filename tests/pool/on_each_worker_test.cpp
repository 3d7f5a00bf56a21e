// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// on_each_worker: once in each worker, in the order of places; failures; resize; order with others.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace on_each_worker_test {
namespace {

using namespace std::chrono_literals;
using procpool::FailureKind;

using tasks::square;
using tasks::waits_at;
using tasks::who;
int place() { return procpool::this_task::worker_index(); }
int calls_here() {
  static int calls = 0;
  return ++calls;
}
int set_base(int by) {
  static int base = 0;
  return base += by;
}
int dies_at(int worker) {
  if (procpool::this_task::worker_index() == worker) ::raise(SIGKILL);
  return worker;
}
int throws_at(int worker) {
  if (procpool::this_task::worker_index() == worker) throw std::out_of_range("here");
  return worker;
}
int fails_to_start() {
  if (procpool::this_task::worker_index() == 1) throw std::runtime_error("no device");
  return 0;
}

class OnEachWorker : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::PoolOptions options(int workers) const {
    procpool::PoolOptions made;
    made.workers = workers;
    made.start.method = GetParam();
    made.log = [](std::string_view) {};
    return made;
  }
};
INSTANTIATE_TEST_SUITE_P(, OnEachWorker,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(OnEachWorker, StartsAllAndCallsEachOnceInTheOrderOfPlaces) {
  procpool::ProcessPool pool{options(4)};
  auto const places = pool.on_each_worker<place>();
  EXPECT_EQ(places, (std::vector{0, 1, 2, 3}));
  std::set<pid_t> pids;
  for (auto const& pid : pool.on_each_worker<who>()) pids.insert(pid);
  EXPECT_EQ(pids.size(), 4u);
  for (int round = 1; round <= 50; ++round) {
    for (auto const& calls : pool.on_each_worker<calls_here>()) EXPECT_EQ(calls, round);
  }
  EXPECT_EQ(pool.stats().worker_starts, 4u);
  EXPECT_EQ(pool.stats().done, 208u);
}

TEST_P(OnEachWorker, TakesArgumentsAndCallables) {
  procpool::ProcessPool pool{options(2)};
  EXPECT_EQ(pool.on_each_worker<set_base>(5), std::vector(2, 5));
  EXPECT_EQ(pool.on_each_worker(procpool::fn<set_base>, 3), std::vector(2, 8));
  pool.on_each_worker<tasks::nothing>();
  for (auto const& nothing : pool.outcomes().on_each_worker<tasks::nothing>()) {
    EXPECT_TRUE(nothing);
  }
}

TEST_P(OnEachWorker, ADeathIsTheFailureOfItsPlace) {
  procpool::ProcessPool pool{options(3)};
  auto const outcomes = pool.outcomes().on_each_worker<dies_at>(1);
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_TRUE(outcomes[0]);
  ASSERT_FALSE(outcomes[1]);
  EXPECT_EQ(outcomes[1].error().kind(), FailureKind::died);
  EXPECT_EQ(outcomes[1].error().as<procpool::WorkerDied>()->worker(), 1);
  EXPECT_TRUE(outcomes[2]);
  auto const thrown = pool.outcomes().on_each_worker<throws_at>(2);
  EXPECT_EQ(thrown[2].error().kind(), FailureKind::threw);
  EXPECT_TRUE(thrown[1]);
}

TEST_P(OnEachWorker, ThrowsTheFailureOfTheFirstPlace) {
  procpool::ProcessPool pool{options(3)};
  EXPECT_THROW(pool.on_each_worker<throws_at>(2), std::out_of_range);
  auto const errors = support::thrown_by<procpool::ElementErrors>(
      [&] { pool.with({.on_error = procpool::OnError::collect}).on_each_worker<throws_at>(1); });
  ASSERT_EQ(errors.failures().size(), 1u);
  EXPECT_EQ(errors.failures()[0].element, 1u);
}

// Unlike those of map. The second worker is busy until the first has failed.
TEST_P(OnEachWorker, AFailureStopsNoOtherPlace) {
  support::Trace const trace;
  support::Gate const gate;
  procpool::ProcessPool pool{options(2)};
  std::size_t key = 0;
  while (pool.with({.key = key}).call<place>() != 1) ASSERT_LT(++key, 100u);
  auto busy = pool.with({.key = key}).submit<waits_at>(gate.path());
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto results = pool.on_each_worker_async(
      [](int worker) {
        support::Trace::note(10 + procpool::this_task::worker_index());
        return throws_at(worker);
      },
      0);
  EXPECT_TRUE(support::until([&] { return results.failed() == 1; }));
  gate.open();
  EXPECT_THROW(results.get(), std::out_of_range);
  EXPECT_EQ(trace.counts()[11], 1) << "the other was called";
  busy.get();
}

TEST_P(OnEachWorker, DoesNotBlockAsync) {
  support::Trace const trace;
  support::Gate const gate;
  procpool::ProcessPool pool{options(2)};
  auto results = pool.on_each_worker_async<waits_at>(gate.path());
  auto outcomes = pool.outcomes().on_each_worker_async<dies_at>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(results.total(), 2u);
  EXPECT_FALSE(results.ready());
  gate.open();
  EXPECT_EQ(results.get(), (std::vector{0, 1}));
  auto const each = outcomes.get();
  ASSERT_EQ(each.size(), 2u);
  EXPECT_EQ(each[0].value(), 1);
  EXPECT_EQ(each[1].error().kind(), FailureKind::died);
  EXPECT_EQ(each[1].worker(), 1);
  EXPECT_TRUE(each[0].times().started) << "outcomes have all of their details";
  EXPECT_EQ(pool.on_each_worker_async<place>()
                .then([](std::vector<int> const& all) { return all.size(); })
                .get(),
            2u);
}

TEST_P(OnEachWorker, TriesAgainAtTheSamePlace) {
  procpool::ProcessPool pool{options(3)};
  auto const outcomes = pool.with({.retries = {.times = 2}}).outcomes().on_each_worker<dies_at>(1);
  EXPECT_EQ(outcomes[1].error().as<procpool::WorkerDied>()->worker(), 1);
  EXPECT_EQ(outcomes[1].error().as<procpool::WorkerDied>()->attempts(), 3u);
  EXPECT_TRUE(outcomes[0]);
  EXPECT_TRUE(outcomes[2]);
}

TEST_P(OnEachWorker, WaitsForWhatItsWorkerRuns) {
  support::Trace const trace;
  support::Gate const gate;
  procpool::ProcessPool pool{options(2)};
  auto busy = pool.submit<waits_at>(gate.path());
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::thread opener([&] {
    support::until([&] { return pool.stats().done >= 1; });
    gate.open();
  });
  auto const places = pool.on_each_worker<place>();
  opener.join();
  EXPECT_EQ(places, (std::vector{0, 1}));
  busy.get();
}

TEST_P(OnEachWorker, AKilledWorkerLosesAndDoublesNothing) {
  procpool::ProcessPool pool{options(3)};
  auto pids = pool.outcomes().on_each_worker<who>();
  for (int round = 0; round < 20; ++round) {
    std::thread killer([&, victim = pids[1].has_value() ? *pids[1] : 0] {
      if (victim != 0) ::kill(victim, SIGKILL);
    });
    auto const places = pool.outcomes().on_each_worker<place>();
    killer.join();
    ASSERT_EQ(places.size(), 3u);
    for (int i = 0; i < 3; ++i) {
      auto const& outcome = places[static_cast<std::size_t>(i)];
      if (outcome) {
        EXPECT_EQ(*outcome, i);
      } else {
        EXPECT_EQ(outcome.error().kind(), FailureKind::died);
        EXPECT_EQ(i, 1);
      }
    }
    pids = pool.outcomes().on_each_worker<who>();
  }
}

TEST_P(OnEachWorker, APlaceThatIsTakenAwayHasAFailure) {
  support::Trace const trace;
  support::Gate const gate;
  procpool::ProcessPool pool{options(3)};
  std::vector<std::string> const gates(3, gate.path());
  auto busy = pool.with({.chunk = 1}).map_async<waits_at>(gates);
  ASSERT_TRUE(support::until([&] { return trace.size() == 3; }));
  std::vector<procpool::Outcome<int>> places;
  std::thread caller([&] { places = pool.outcomes().on_each_worker<place>(); });
  EXPECT_TRUE(support::until([&] { return pool.stats().submitted == 6; }));
  pool.resize(1);
  gate.open();
  caller.join();
  busy.get();
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(places[0].value(), 0);
  for (std::size_t i : {1u, 2u}) {
    if (places[i]) {
      EXPECT_EQ(*places[i], static_cast<int>(i)) << "it had begun";
    } else {
      EXPECT_EQ(places[i].error().kind(), FailureKind::cancelled);
    }
  }
  EXPECT_EQ(pool.on_each_worker<place>().size(), 1u);
}

TEST_P(OnEachWorker, APlaceThatNoWorkerCanTakeHasAFailure) {
  auto with_device = options(2);
  with_device.start.initializer = procpool::bound<fails_to_start>();
  procpool::ProcessPool pool{with_device};
  EXPECT_EQ(pool.with({.key = 1}).call<square>(2), 4);  // a worker is ready
  auto const places = pool.outcomes().on_each_worker<place>();
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places[0].value(), 0);
  ASSERT_FALSE(places[1]);
  EXPECT_NE(std::string(places[1].error().what()).find("no device"), std::string::npos);
}

TEST_P(OnEachWorker, TheEndOfThePoolEndsIt) {
  support::Trace const trace;
  support::Gate const gate;
  auto pool = std::make_unique<procpool::ProcessPool>(options(2));
  std::vector<procpool::Outcome<int>> places;
  std::thread caller([&] { places = pool->outcomes().on_each_worker<waits_at>(gate.path()); });
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  pool->terminate();
  caller.join();
  for (auto const& outcome : places) EXPECT_EQ(outcome.error().kind(), FailureKind::cancelled);
  EXPECT_THROW(pool->on_each_worker<place>(), procpool::PoolClosed);
}

TEST(OnEachWorkerOfAPool, InProcessIsOnce) {
  procpool::ProcessPool pool{{.workers = 3, .start = {.method = procpool::Start::in_process}}};
  EXPECT_EQ(pool.on_each_worker<who>().size(), 1u);
}

TEST(OnEachWorkerOfAPool, HasNoKey) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.key = 3}).on_each_worker<place>(), std::invalid_argument);
  EXPECT_THROW(pool.with({.chunk = 3}).on_each_worker<place>(), std::invalid_argument);
}

}  // namespace
}  // namespace on_each_worker_test
