// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PoolOptions::on_event: what a pool tells of its workers and tasks, on which thread, and what becomes
// of a callback that throws or is slow. And the log: each death of a worker once.

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace events_test {
namespace {

using namespace std::chrono_literals;
using procpool::Event;
using procpool::EventKind;

using tasks::hang;
using tasks::square;
using tasks::who;
int exits_with(int status) { ::_exit(status); }
int killed(int signal) { return ::raise(signal); }
int not_yet() { throw std::runtime_error("not yet"); }

struct Tally {
  int die() { return ::raise(SIGKILL); }
};

struct Told {
  procpool::PoolOptions options(int workers = 1) {
    procpool::PoolOptions made;
    made.workers = workers;
    made.name = "eventful";
    made.log = [this](std::string_view line) {
      std::lock_guard const lock(mutex);
      lines.emplace_back(line);
    };
    made.on_event = [this](Event const& event) {
      std::lock_guard const lock(mutex);
      events.push_back(event);
      thread = std::this_thread::get_id();
    };
    return made;
  }
  std::vector<Event> all(EventKind kind) {
    std::lock_guard const lock(mutex);
    std::vector<Event> some;
    std::ranges::copy_if(events, std::back_inserter(some),
                         [kind](Event const& event) { return event.kind == kind; });
    return some;
  }
  std::size_t logged(std::string const& part) {
    std::lock_guard const lock(mutex);
    return static_cast<std::size_t>(std::ranges::count_if(
        lines, [&](std::string const& line) { return line.find(part) != std::string::npos; }));
  }
  bool comes(EventKind kind, std::size_t times) {
    return support::until([&] { return all(kind).size() >= times; });
  }

  std::mutex mutex;
  std::vector<Event> events;
  std::vector<std::string> lines;
  std::thread::id thread;
};

class EventsOf : public testing::TestWithParam<procpool::Start> {};
INSTANTIATE_TEST_SUITE_P(, EventsOf,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(EventsOf, AStartAndADeathAreToldWithAllThatIsKnown) {
  Told told;
  auto options = told.options();
  options.start.method = GetParam();
  procpool::ProcessPool pool{options};
  pid_t const first = pool.call<&who>();
  ASSERT_TRUE(told.comes(EventKind::worker_started, 1));
  Event const started = told.all(EventKind::worker_started)[0];
  EXPECT_EQ(started.pool, "eventful");
  EXPECT_EQ(started.worker, 0);
  EXPECT_EQ(started.pid, first);
  EXPECT_FALSE(started.element);
  EXPECT_LT(std::chrono::system_clock::now() - started.time, 60s);

  auto results = pool.with({.on_error = procpool::OnError::finish, .label = "sieve"})
                     .map_async<killed>(std::vector{0, 0, SIGSEGV, 0});
  EXPECT_THROW(results.get(), procpool::WorkerDied);
  ASSERT_TRUE(told.comes(EventKind::worker_died, 1));
  Event const died = told.all(EventKind::worker_died)[0];
  EXPECT_EQ(died.worker, 0);
  EXPECT_EQ(died.pid, first);
  EXPECT_EQ(died.signal, SIGSEGV);
  EXPECT_FALSE(died.exit_status);
  EXPECT_EQ(died.element, 2u);
  ASSERT_TRUE(died.task);
  EXPECT_EQ(died.label, "sieve");
  EXPECT_NE(died.text.find("was killed by SIGSEGV while it had task " + std::to_string(*died.task) +
                           " \"sieve\", element 2"),
            std::string::npos)
      << died.text;
  EXPECT_EQ(told.all(EventKind::worker_died).size(), 1u);

  EXPECT_THROW(pool.call<exits_with>(3), procpool::WorkerDied);
  ASSERT_TRUE(told.comes(EventKind::worker_died, 2));
  EXPECT_EQ(told.all(EventKind::worker_died)[1].exit_status, 3);
  EXPECT_EQ(told.all(EventKind::worker_died)[1].missed, 0u);
  pool.join();
  ASSERT_TRUE(told.comes(EventKind::worker_started, 2));
}

TEST(Events, AreToldOnTheCallbackThread) {
  Told told;
  procpool::ProcessPool pool{told.options()};
  std::thread::id callbacks;
  pool.submit<square>(2)
      .then([&](int x) {
        callbacks = std::this_thread::get_id();
        return x;
      })
      .get();
  ASSERT_TRUE(told.comes(EventKind::worker_started, 1));
  EXPECT_EQ(told.thread, callbacks);
}

TEST(Events, TellWhyWorkersLeave) {
  Told told;
  {
    auto options = told.options();
    options.lifetime.max_tasks = 1;
    procpool::ProcessPool pool{options};
    pool.call<square>(1);
    pool.call<square>(1);
    ASSERT_TRUE(told.comes(EventKind::worker_replaced, 1));
    EXPECT_NE(told.all(EventKind::worker_replaced)[0].text.find("replaced as planned"),
              std::string::npos);
  }
  EXPECT_TRUE(told.all(EventKind::worker_died).empty());
  Told idle;
  {
    auto options = idle.options();
    options.lifetime.idle_timeout = 1ms;
    procpool::ProcessPool pool{options};
    pool.call<square>(1);
    ASSERT_TRUE(idle.comes(EventKind::worker_left, 1));
    EXPECT_NE(idle.all(EventKind::worker_left)[0].text.find("having been idle"), std::string::npos);
  }
  Told at_end;
  {
    procpool::ProcessPool pool{at_end.options(2)};
    pool.on_each_worker<who>();
  }
  // Without a wait: the destructor returns after they were told.
  EXPECT_EQ(at_end.all(EventKind::worker_started).size(), 2u);
  EXPECT_EQ(at_end.all(EventKind::worker_left).size(), 2u);
  EXPECT_EQ(at_end.lines.size(), 0u);
}

TEST(Events, TellTimeoutsAndRetries) {
  support::Trace const trace;
  Told told;
  procpool::ProcessPool pool{told.options()};
  EXPECT_THROW(pool.with({.timeout = 20ms, .retries = {.times = 1}, .label = "slow"}).call<hang>(1),
               procpool::TaskTimeout);
  ASSERT_TRUE(told.comes(EventKind::task_timed_out, 2));
  ASSERT_TRUE(told.comes(EventKind::worker_replaced, 2));
  EXPECT_EQ(told.all(EventKind::task_timed_out).size(), 2u);
  ASSERT_EQ(told.all(EventKind::task_retried).size(), 1u);
  Event const timeout = told.all(EventKind::task_timed_out)[0];
  EXPECT_EQ(timeout.worker, 0);
  EXPECT_EQ(timeout.element, 0u);
  EXPECT_EQ(timeout.label, "slow");
  EXPECT_NE(timeout.text.find("ran longer than its timeout of 20 ms"), std::string::npos)
      << timeout.text;
  Event const retried = told.all(EventKind::task_retried)[0];
  EXPECT_EQ(retried.task, timeout.task);
  EXPECT_EQ(retried.label, "slow");
  EXPECT_NE(retried.text.find("is run again: attempt 1 ended with"), std::string::npos)
      << retried.text;
  EXPECT_TRUE(told.all(EventKind::worker_died).empty()) << "the pool has ended it";

  auto blocker = pool.submit<hang>(1);
  EXPECT_THROW(pool.with({.queue_timeout = 20ms}).call<square>(1), procpool::TaskTimeout);
  ASSERT_TRUE(told.comes(EventKind::task_timed_out, 3));
  Event const expired = told.all(EventKind::task_timed_out)[2];
  EXPECT_EQ(expired.worker, -1);
  EXPECT_NE(expired.text.find("had not begun"), std::string::npos) << expired.text;
  blocker.cancel();
}

TEST(Events, InProcessTellsRetries) {
  Told told;
  auto options = told.options();
  options.start.method = procpool::Start::in_process;
  procpool::ProcessPool pool{options};
  EXPECT_THROW(
      pool.with({.retries = {.times = 1, .also_on = procpool::thrown<std::runtime_error>()}})
          .call<not_yet>(),
      std::runtime_error);
  ASSERT_TRUE(told.comes(EventKind::task_retried, 1));
  EXPECT_NE(told.all(EventKind::task_retried)[0].text.find("not yet"), std::string::npos);
}

int fails_to_begin() { throw std::runtime_error("no such device"); }

TEST(Events, TellFailedStarts) {
  Told told;
  auto options = told.options();
  options.start.initializer = procpool::bound<fails_to_begin>();
  procpool::ProcessPool pool{options};
  EXPECT_THROW(pool.call<square>(1), std::runtime_error);
  ASSERT_TRUE(told.comes(EventKind::start_failed, 1));
  EXPECT_EQ(told.all(EventKind::start_failed)[0].worker, 0);
  EXPECT_NE(told.all(EventKind::start_failed)[0].text.find("no such device"), std::string::npos);
  EXPECT_TRUE(told.all(EventKind::worker_started).empty());
}

TEST(Events, ACallbackThatThrowsIsLoggedAndHarmless) {
  Told told;
  {
    auto options = told.options();
    options.on_event = [](Event const&) { throw std::runtime_error("unhappy callback"); };
    procpool::ProcessPool pool{options};
    EXPECT_THROW(pool.call<killed>(SIGKILL), procpool::WorkerDied);
    EXPECT_EQ(pool.call<square>(3), 9);
  }
  EXPECT_EQ(told.logged("unhappy callback"), 1u);
}

TEST(Events, ACallbackMayUseThePool) {
  Told told;
  auto options = told.options();
  std::atomic<int> result{0};
  std::unique_ptr<procpool::ProcessPool> pool;
  std::mutex made;
  options.on_event = [&](Event const& event) {
    if (event.kind != EventKind::worker_died) return;
    std::lock_guard const lock(made);
    result = pool->call<square>(5);
  };
  {
    std::lock_guard const lock(made);
    pool = std::make_unique<procpool::ProcessPool>(options);
  }
  EXPECT_THROW(pool->call<killed>(SIGKILL), procpool::WorkerDied);
  EXPECT_TRUE(support::until([&] { return result == 25; }));
}

TEST(Events, ASlowCallbackHoldsNothingUp) {
  std::mutex gate;
  Told told;
  auto options = told.options();
  options.on_event = [&](Event const&) { std::lock_guard const lock(gate); };
  procpool::ProcessPool pool{options};
  {
    std::lock_guard const lock(gate);
    for (int i = 0; i < 3; ++i) EXPECT_THROW(pool.call<killed>(SIGKILL), procpool::WorkerDied);
    EXPECT_EQ(pool.call<square>(3), 9);
    EXPECT_EQ(told.logged("was killed by SIGKILL"), 3u) << "the log does not wait for the callback";
  }
}

// ---- the log

TEST(TheLog, HasEachDeathOnceHoweverManyElementsWait) {
  Told told;
  procpool::ProcessPool pool{told.options(2)};
  std::vector<int> signals(300, 0);
  signals[100] = SIGKILL;
  auto results = pool.with({.on_error = procpool::OnError::finish}).map_async<killed>(signals);
  results.wait();
  EXPECT_THROW(results.get(), procpool::WorkerDied);
  EXPECT_EQ(told.logged("was killed by SIGKILL"), 1u);
  EXPECT_EQ(told.logged("pool \"eventful\": worker "), 1u);
}

TEST(TheLog, HasTheDeathOfAnIdleWorker) {
  Told told;
  procpool::ProcessPool pool{told.options()};
  pid_t const worker = pool.call<&who>();
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(support::until([&] { return told.logged("was killed by SIGKILL") == 1; }));
}

TEST(TheLog, TellsANumberWhenWorkersDieWithoutEnd) {
  Told told;
  {
    procpool::ProcessPool pool{told.options()};
    for (int i = 0; i < 40; ++i) EXPECT_THROW(pool.call<killed>(SIGKILL), procpool::WorkerDied);
  }
  std::size_t const lines = told.logged("was killed by SIGKILL");
  EXPECT_GE(lines, 10u);
  std::size_t others = 0;
  for (std::string const& line : told.lines) {
    auto const at = line.find(" more workers have died");
    if (at == std::string::npos) continue;
    others += std::stoul(line.substr(line.rfind(' ', at - 1) + 1));
  }
  EXPECT_EQ(lines + others, 40u) << "each is told, as a line or in a number";
}

TEST(TheLog, HasNoEndThatThePoolAskedFor) {
  support::Trace const trace;
  Told told;
  {
    auto options = told.options();
    options.shutdown.at_exit = procpool::End::kill;
    procpool::ProcessPool pool{options};
    EXPECT_THROW(pool.with({.timeout = 10ms}).call<hang>(1), procpool::TaskTimeout);
    auto running = pool.submit<hang>(1);
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
    running.cancel();
    pool.call<square>(1);
    auto left = pool.submit<hang>(1);
    ASSERT_TRUE(support::until([&] { return trace.size() == 3; }));
    static_cast<void>(left);
  }
  EXPECT_EQ(told.lines.size(), 0u) << told.lines.front();
}

TEST(TheLog, HasTheDeathsOfActors) {
  Told told;
  procpool::ProcessPool pool{told.options()};
  auto actor = pool.actor<Tally>(procpool::ActorOptions{.name = "tally"});
  EXPECT_THROW(actor.call<&Tally::die>().get(), procpool::WorkerDied);
  EXPECT_TRUE(support::until([&] { return told.logged("was killed by SIGKILL") == 1; }));
  EXPECT_EQ(told.logged("actor \"eventful/tally\": worker "), 1u);
  ASSERT_TRUE(told.comes(EventKind::worker_died, 1));
  EXPECT_EQ(told.all(EventKind::worker_died)[0].pool, "eventful/tally");
}

}  // namespace
}  // namespace events_test
