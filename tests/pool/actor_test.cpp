// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Actors: objects in processes of their own, their calls in order, and what becomes of calls when
// such a process ends.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Actor;
using procpool::ActorDied;
using procpool::End;
using procpool::Future;
using procpool::ProcessPool;
using procpool::Start;
using procpool::WorkerDied;

// Neither copied, moved nor serialized.
class Counter {
 public:
  Counter() = default;
  explicit Counter(int first) : sum_(first) {}
  Counter(Counter const&) = delete;
  Counter& operator=(Counter const&) = delete;

  int add(int x) { return sum_ += x; }
  int sum() const { return sum_; }
  pid_t process() const { return ::getpid(); }
  void fail() { throw std::out_of_range("not here"); }
  void die() { ::raise(SIGKILL); }
  void leave() { std::exit(3); }
  void wait(std::string const& gate) { support::wait_at(gate); }
  int add_when(std::string const& gate, int x) {
    support::wait_at(gate);
    return add(x);
  }
  void hang() { std::this_thread::sleep_for(10min); }
  int overloaded(int x) { return x; }
  int overloaded(int x, int y) { return x + y; }

  int field = 5;

 private:
  int sum_ = 0;
};

// Notes its beginning and its end.
struct Noting {
  explicit Noting(int number) : number(number) { support::Trace::note(number); }
  Noting(Noting const&) = delete;
  Noting& operator=(Noting const&) = delete;
  ~Noting() { support::Trace::note(-number); }
  void call(int x) { support::Trace::note(x); }
  int number;
};

struct Failing {
  explicit Failing(std::string const& text) { throw std::invalid_argument(text); }
  int call() { return 1; }
};

// Notes what it was given, in order.
struct Log {
  std::vector<std::pair<int, int>> entries{};
  void add(int thread, int number) { entries.emplace_back(thread, number); }
  std::vector<std::pair<int, int>> all() const { return entries; }
};

struct Joined {
  std::string text;
  Joined(std::string const& a, std::unique_ptr<int> b, std::vector<int> const& c)
      : text(a + std::to_string(*b) + std::to_string(c.size())) {}
  std::string get() const { return text; }
};

template <class T>
bool is_dead(Future<T>& future) {
  return support::is<ActorDied>([&] {
    try {
      future.get();
    } catch (...) {
      return std::current_exception();
    }
    return std::exception_ptr();
  }());
}

class ActorStart : public testing::TestWithParam<Start> {
 protected:
  ProcessPool pool_{{.workers = 1, .start = {.method = GetParam()}}};
};

class ActorProcess : public ActorStart {};

std::string name_of(testing::TestParamInfo<Start> const& test) {
  return test.param == Start::spawn        ? "Spawned"
         : test.param == Start::forkserver ? "Forked"
                                           : "Here";
}

}  // namespace

// ---- calls

TEST_P(ActorStart, KeepsItsObject) {
  auto counter = pool_.actor<Counter>(10);
  EXPECT_EQ(counter.call<&Counter::add>(5).get(), 15);
  EXPECT_EQ(counter.call<&Counter::add>(5).get(), 20);
  EXPECT_EQ(counter.call<&Counter::sum>().get(), 20);
  EXPECT_EQ(counter.incarnation(), 1u);
}

TEST_P(ActorStart, CallsMembersLambdasAndFunctions) {
  auto counter = pool_.actor<Counter>();
  EXPECT_EQ(counter.call<&Counter::field>().get(), 5);
  EXPECT_EQ(counter.call([](Counter& c, int x) { return c.add(x) + c.add(x); }, 2).get(), 6);
  EXPECT_EQ(counter.call([](Counter const& c) { return c.sum(); }).get(), 4);
  EXPECT_EQ(counter.call([](auto& c, int x) { return c.add(x); }, 1).get(), 5);
  EXPECT_EQ(counter.call([](Counter& c, int x) { return c.overloaded(x); }, 3).get(), 3);
  EXPECT_EQ(counter.call(&Counter::add, 1).get(), 6);
  EXPECT_EQ(counter.call(procpool::bind_back<&Counter::add>(4)).get(), 10);
  counter.call([](Counter& c) { c.field = 7; }).get();
  EXPECT_EQ(counter.call<&Counter::field>().get(), 7);
}

TEST_P(ActorStart, IsConstructedOfItsArguments) {
  auto joined =
      pool_.actor<Joined>(std::string("a"), std::make_unique<int>(7), std::vector<int>{1, 2, 3});
  EXPECT_EQ(joined.call<&Joined::get>().get(), "a73");
  std::string const large(3'000'000, 'x');
  auto other = pool_.actor<Joined>(large, std::make_unique<int>(1), std::vector<int>());
  EXPECT_EQ(other.call<&Joined::get>().get(), large + "10");
}

TEST_P(ActorStart, RunsCallsOfEachThreadInTheirOrder) {
  constexpr int threads = 8;
  constexpr int each = 200;
  auto log = pool_.actor<Log>();
  {
    std::vector<std::jthread> all;
    for (int thread = 0; thread < threads; ++thread) {
      all.emplace_back([&, thread] {
        std::vector<Future<void>> calls;
        for (int i = 0; i < each; ++i) calls.push_back(log.call<&Log::add>(thread, i));
        for (auto& call : calls) call.get();
      });
    }
  }
  std::array<int, threads> next{};
  auto const entries = log.call<&Log::all>().get();
  EXPECT_EQ(entries.size(), std::size_t{threads} * each);
  for (auto const& [thread, number] : entries) {
    EXPECT_EQ(number, next.at(static_cast<std::size_t>(thread))++);
  }
}

TEST_P(ActorStart, KeepsItsObjectWhenACallThrows) {
  auto counter = pool_.actor<Counter>(1);
  EXPECT_THROW(counter.call<&Counter::fail>().get(), std::out_of_range);
  EXPECT_EQ(counter.call<&Counter::add>(1).get(), 2);
  EXPECT_EQ(counter.incarnation(), 1u);
}

TEST_P(ActorStart, ThatCannotBeMadeTellsEveryCallWhy) {
  auto failing = pool_.actor<Failing>({.restarts = 5}, std::string("no such thing"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(support::says(
        support::thrown_by<std::invalid_argument>([&] { failing.call<&Failing::call>().get(); }),
        "no such thing"));
  }
  EXPECT_EQ(failing.incarnation(), 1u);
}

TEST_P(ActorStart, RefusesOptionsThatNoCallOfItHas) {
  auto counter = pool_.actor<Counter>();
  EXPECT_THROW(static_cast<void>(counter.with({.key = 1})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(counter.with({.retries = {.times = 1}})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(counter.with({.chunk = 1})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(counter.with({.timeout = 0ms})), std::invalid_argument);
  EXPECT_EQ(counter.with({.timeout = 10s, .priority = 1}).call<&Counter::add>(1).get(), 1);
  EXPECT_THROW(static_cast<void>(pool_.actor<Counter>({.name = "a\nb"})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool_.actor<Counter>({.restarts = -1})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool_.actor<Counter>({.queue_limit = 0})), std::invalid_argument);
}

// Options of the pool that are for its workers mean nothing to an actor.
TEST_P(ActorStart, StaysWhateverThePoolsOptionsSay) {
  ProcessPool pool{{.workers = 1,
                    .start = {.method = GetParam()},
                    .lifetime = {.max_tasks = 1, .recycle_after = 1ms, .idle_timeout = 1ms},
                    .defaults = {.chunk = 2, .retries = {.times = 1}, .key = 3}}};
  auto counter = pool.actor<Counter>();
  for (int i = 1; i <= 20; ++i) EXPECT_EQ(counter.call<&Counter::add>(1).get(), i);
  EXPECT_EQ(counter.incarnation(), 1u);
}

// ---- its end

TEST_P(ActorStart, RunsEverythingBeforeItsEnd) {
  support::Trace const trace;
  {
    auto noting = pool_.actor<Noting>(7);
    for (int i = 10; i < 13; ++i) static_cast<void>(noting.call<&Noting::call>(i));
  }
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{7, 10, 11, 12, -7}));
}

TEST_P(ActorStart, ThatIsClosedTakesNoMoreCalls) {
  auto counter = pool_.actor<Counter>(1);
  auto last = counter.call<&Counter::add>(1);
  counter.close();
  auto const refused = support::thrown_by<procpool::PoolClosed>(
      [&] { static_cast<void>(counter.call<&Counter::add>(1)); });
  EXPECT_TRUE(support::says(refused, "actor \"pool/Counter\" takes no more calls: it was closed"));
  counter.join();
  EXPECT_TRUE(counter.join_for(1ms));
  EXPECT_EQ(last.get(), 2);
  EXPECT_EQ(counter.pending(), 0u);
  auto other = pool_.actor<Counter>(5);
  EXPECT_EQ(other.call<&Counter::sum>().get(), 5);
}

TEST_P(ActorStart, CountsItsCallsAndNotItsConstruction) {
  auto counter = pool_.actor<Counter>(1);
  counter.call<&Counter::add>(1).get();
  EXPECT_EQ(counter.shutdown(procpool::End::drain).done, 1u);
}

TEST_P(ActorStart, EndsWithItsPool) {
  std::optional<ProcessPool> pool(
      std::in_place, procpool::PoolOptions{.workers = 1, .start = {.method = GetParam()}});
  auto counter = pool->actor<Counter>(1);
  auto last = counter.call<&Counter::add>(1);
  pool->close();
  EXPECT_THROW(static_cast<void>(counter.call<&Counter::add>(1)), procpool::PoolClosed);
  EXPECT_THROW(static_cast<void>(pool->actor<Counter>()), procpool::PoolClosed);
  pool.reset();
  EXPECT_EQ(last.get(), 2);
  EXPECT_THROW(static_cast<void>(counter.call<&Counter::add>(1)), procpool::PoolClosed);
}

TEST_P(ActorStart, IsMovedWithItsObject) {
  auto first = pool_.actor<Counter>(1);
  static_assert(!std::is_copy_constructible_v<Actor<Counter>>);
  static_assert(std::is_nothrow_move_constructible_v<Actor<Counter>>);
  auto second = std::move(first);
  EXPECT_EQ(second.call<&Counter::add>(1).get(), 2);
  EXPECT_THROW(static_cast<void>(first.call<&Counter::add>(1)), std::logic_error);
  EXPECT_THROW(first.close(), std::logic_error);
  second = pool_.actor<Counter>(10);
  EXPECT_EQ(second.call<&Counter::add>(1).get(), 11);
}

INSTANTIATE_TEST_SUITE_P(Each, ActorStart,
                         testing::Values(Start::spawn, Start::forkserver, Start::in_process),
                         name_of);

// ---- its process

TEST_P(ActorProcess, IsItsOwn) {
  auto a = pool_.actor<Counter>();
  auto b = pool_.actor<Counter>();
  pid_t const pid = a.call<&Counter::process>().get();
  EXPECT_EQ(pid, a.pid());
  EXPECT_NE(pid, ::getpid());
  EXPECT_NE(pid, b.pid());
  EXPECT_NE(pid, pool_.call<tasks::who>());
  EXPECT_EQ(pool_.stats().actors, 2u);
  a.join();
  EXPECT_EQ(pool_.stats().actors, 1u);
  EXPECT_FALSE(support::alive(pid));
}

TEST_P(ActorProcess, IsThereBeforeTheFirstCall) {
  auto counter = pool_.actor<Counter>();
  EXPECT_TRUE(support::alive(counter.pid()));
}

TEST_P(ActorProcess, CostsTheCallThatHadBegunWhenItDies) {
  auto counter = pool_.actor<Counter>({.restarts = 2}, 100);
  support::Gate gate;
  auto before = counter.call<&Counter::add>(1);
  auto waits = counter.call<&Counter::wait>(gate.path());
  auto dies = counter.call<&Counter::die>();
  auto next = counter.call<&Counter::add>(5);
  auto last = counter.call<&Counter::add>(5);
  pid_t const pid = counter.pid();
  gate.open();
  EXPECT_EQ(before.get(), 101);
  waits.get();
  EXPECT_EQ(support::thrown_by<WorkerDied>([&] { dies.get(); }).signal(), SIGKILL);
  EXPECT_EQ(next.get(), 105);  // of the next incarnation, which was made anew
  EXPECT_EQ(last.get(), 110);
  EXPECT_EQ(counter.incarnation(), 2u);
  EXPECT_NE(counter.pid(), pid);
  EXPECT_EQ(pool_.stats().actor_restarts, 1u);
}

TEST_P(ActorProcess, ThatHasNoRestartLeftTellsEveryCallWhy) {
  auto counter = pool_.actor<Counter>({.name = "fragile"});
  support::Gate gate;
  auto waits = counter.call<&Counter::wait>(gate.path());
  auto leaves = counter.call<&Counter::leave>();
  auto next = counter.call<&Counter::add>(5);
  gate.open();
  EXPECT_EQ(support::thrown_by<WorkerDied>([&] { leaves.get(); }).exit_status(), 3);
  auto const told = support::thrown_by<ActorDied>([&] { next.get(); });
  EXPECT_TRUE(support::says(told, "actor \"pool/fragile\" has died: worker 0"));
  EXPECT_TRUE(support::says(told, "exited with status 3"));
  for (int i = 0; i < 3; ++i) {
    auto const later = support::thrown_by<ActorDied>([&] { counter.call<&Counter::add>(1).get(); });
    EXPECT_STREQ(later.what(), told.what());
  }
  EXPECT_EQ(counter.incarnation(), 1u);
  EXPECT_EQ(counter.pending(), 0u);
  EXPECT_EQ(pool_.stats().actors, 0u);
  EXPECT_EQ(pool_.call<tasks::square>(3), 9);
}

TEST_P(ActorProcess, IsRestartedSoOftenAndNotOftener) {
  auto counter = pool_.actor<Counter>({.restarts = 3});
  for (unsigned i = 1; i <= 4; ++i) {
    EXPECT_EQ(counter.incarnation(), i);
    EXPECT_THROW(counter.call<&Counter::die>().get(), WorkerDied);
    if (i == 4) break;
    EXPECT_EQ(counter.call<&Counter::add>(1).get(), 1);
  }
  auto const told = support::thrown_by<ActorDied>([&] { counter.call<&Counter::sum>().get(); });
  EXPECT_TRUE(support::says(told, "after 3 restarts"));
}

// Nobody has called it.
TEST_P(ActorProcess, IsRestartedWithoutACall) {
  auto counter = pool_.actor<Counter>({.restarts = 1}, 5);
  EXPECT_EQ(counter.call<&Counter::sum>().get(), 5);
  pid_t const pid = counter.pid();
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(support::until([&] { return counter.pid() != pid; }));
  EXPECT_EQ(counter.call<&Counter::sum>().get(), 5);
}

TEST_P(ActorProcess, EndsACallAtItsTimeout) {
  auto counter = pool_.actor<Counter>({.restarts = 1});
  auto hangs = counter.with({.timeout = 50ms}).with({.priority = 1}).call<&Counter::hang>();
  auto next = counter.call<&Counter::add>(1);
  EXPECT_THROW(hangs.get(), procpool::TaskTimeout);
  EXPECT_EQ(next.get(), 1);
  EXPECT_EQ(counter.incarnation(), 2u);
}

TEST_P(ActorProcess, EndsACallThatIsCancelled) {
  support::Trace const trace;
  auto noting = pool_.actor<Noting>({.restarts = 1}, 1);
  auto hangs = noting.call([](Noting&) { tasks::hang(2); });
  auto never = noting.call<&Noting::call>(3);
  EXPECT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(never.cancel(), procpool::Cancel::never_began);
  EXPECT_EQ(noting.incarnation(), 1u);
  EXPECT_EQ(hangs.cancel(), procpool::Cancel::ended);
  EXPECT_THROW(hangs.get(), procpool::TaskCancelled);
  noting.call<&Noting::call>(4).get();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 2, 1, 4}));
}

TEST_P(ActorProcess, LeavesCallsThatWaitTooLong) {
  support::Gate gate;
  auto counter = pool_.actor<Counter>();
  auto waits = counter.call<&Counter::wait>(gate.path());
  auto late = counter.with({.queue_timeout = 20ms}).call<&Counter::add>(1);
  EXPECT_THROW(late.get(), procpool::TaskTimeout);
  gate.open();
  waits.get();
  EXPECT_EQ(counter.call<&Counter::sum>().get(), 0);
}

TEST_P(ActorProcess, RunsUrgentCallsFirst) {
  support::Trace const trace;
  auto noting = pool_.actor<Noting>(1);
  support::Gate gate;
  auto waits =
      noting.call([](Noting&, std::string const& path) { support::wait_at(path); }, gate.path());
  std::vector<Future<void>> calls;
  for (int i = 0; i < 50; ++i) calls.push_back(noting.call<&Noting::call>(i + 10));
  calls.push_back(noting.with({.priority = 1}).call<&Noting::call>(5));
  gate.open();
  for (auto& call : calls) call.get();
  auto const order = trace.numbers();
  EXPECT_LT(std::ranges::find(order, 5), std::ranges::find(order, 59));
}

TEST_P(ActorProcess, RefusesOrHoldsUpCallsBeyondItsLimit) {
  support::Gate gate;
  auto counter = pool_.actor<Counter>({.queue_limit = 2});
  auto other = pool_.actor<Counter>();
  auto waits = counter.call<&Counter::wait>(gate.path());
  auto refuses = counter.with({.when_full = procpool::WhenFull::refuse});
  std::vector<Future<int>> taken;
  EXPECT_TRUE(support::until([&] {
    try {
      while (taken.size() < 10) {
        taken.push_back(refuses.call<&Counter::add>(1));
      }
    } catch (procpool::QueueFull const&) {
    }
    return taken.size() == 2;
  }));
  EXPECT_EQ(other.call<&Counter::add>(1).get(), 1);
  EXPECT_EQ(counter.pending(), 3u);
  std::jthread const blocked([&] { EXPECT_EQ(counter.call<&Counter::add>(1).get(), 3); });
  gate.open();
}

INSTANTIATE_TEST_SUITE_P(Each, ActorProcess, testing::Values(Start::spawn, Start::forkserver),
                         name_of);
