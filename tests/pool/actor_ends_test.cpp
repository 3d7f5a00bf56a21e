// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The ends of actors: by their owner, by their pool, in the constructor, and what is left.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/descriptors.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/in_child.hpp"
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
using procpool::PoolClosed;
using procpool::PoolOptions;
using procpool::ProcessPool;
using procpool::Start;
using procpool::TaskCancelled;
using procpool::WorkerDied;

struct Worker {
  int value = 0;
  explicit Worker(int first = 0) : value(first) {}
  int add(int x) { return value += x; }
  void wait(std::string const& gate) { support::wait_at(gate); }
  void hang() { std::this_thread::sleep_for(10min); }
  void die() { ::raise(SIGKILL); }
};

// The first object dies while it is made, the next one does not.
struct DiesAtFirst {
  DiesAtFirst() {
    support::Trace::note(1);
    if (support::Trace::seen(1) == 1) ::raise(SIGKILL);
  }
  int call() { return 5; }
};

struct SlowToMake {
  explicit SlowToMake(std::string const& gate) {
    support::Trace::note(1);
    support::wait_at(gate);
    support::Trace::note(2);
  }
  ~SlowToMake() { support::Trace::note(3); }
  int call() { return 5; }
};

struct NotesItsLife {
  NotesItsLife() { support::Trace::note(2); }
  NotesItsLife(NotesItsLife const&) = delete;
  NotesItsLife& operator=(NotesItsLife const&) = delete;
  ~NotesItsLife() { support::Trace::note(4); }
  void call() { support::Trace::note(3); }
};
void before() { support::Trace::note(1); }
void after() { support::Trace::note(5); }
void cannot() { throw std::domain_error("no initialisation"); }

struct OwnError : std::runtime_error {
  explicit OwnError(std::string const& text = {}) : std::runtime_error(text) {}
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
struct ThrowsItsOwn {
  ThrowsItsOwn() { throw OwnError("its own"); }
  int call() { return 1; }
};

struct Reader {
  procpool::Queue<int> queue;
  std::optional<procpool::PipeEnd<int, int>> end{};
  explicit Reader(procpool::Queue<int> from) : queue(std::move(from)) {}
  Reader(procpool::Queue<int> from, procpool::PipeEnd<int, int> pipe)
      : queue(std::move(from)), end(std::move(pipe)) {}
  int sum() {
    int all = 0;
    for (int const item : queue) all += item;
    return all;
  }
  void give(procpool::PipeEnd<int, int> pipe) { end = std::move(pipe); }
  void send(int x) { end->send(x); }
};

int use_an_actor(int x) {
  ProcessPool pool{1};
  auto worker = pool.actor<Worker>(x);
  return worker.call<&Worker::add>(1).get();
}

class ActorEnds : public testing::TestWithParam<Start> {
 protected:
  ProcessPool pool_{
      {.workers = 1, .start = {.method = GetParam()}, .shutdown = {.term_grace = 1ms}}};
};

template <class T>
std::exception_ptr error_of(Future<T>& future) {
  try {
    future.get();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace

TEST_P(ActorEnds, ByCancelAfterTheCallThatRuns) {
  support::Trace const trace;
  support::Gate gate;
  auto worker = pool_.actor<Worker>();
  auto runs = worker.call(
      [](Worker& object, std::string const& path) {
        support::Trace::note(1);
        object.wait(path);
      },
      gate.path());
  EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::vector<Future<int>> never;
  for (int i = 0; i < 20; ++i) never.push_back(worker.call<&Worker::add>(1));
  std::jthread const opens([&] {
    EXPECT_TRUE(support::until([&] { return worker.pending() == 1; }));
    gate.open();
  });
  auto const summary = worker.shutdown(End::cancel);
  EXPECT_NO_THROW(runs.get());
  for (auto& call : never) EXPECT_TRUE(support::is<TaskCancelled>(error_of(call)));
  EXPECT_EQ(summary.done, 1u);
  EXPECT_EQ(summary.cancelled, 20u);
}

TEST_P(ActorEnds, ByKill) {
  auto worker = pool_.actor<Worker>({.restarts = 5});
  pid_t const pid = worker.pid();
  auto runs = worker.call<&Worker::hang>();
  auto never = worker.call<&Worker::add>(1);
  EXPECT_EQ(worker.shutdown(End::kill).cancelled, 2u);
  EXPECT_FALSE(support::alive(pid));
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(runs)));
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(never)));
  EXPECT_EQ(worker.incarnation(), 1u);
  EXPECT_THROW(static_cast<void>(worker.call<&Worker::add>(1)), PoolClosed);
}

TEST_P(ActorEnds, AtItsDeadline) {
  auto worker = pool_.actor<Worker>();
  auto runs = worker.call<&Worker::hang>();
  EXPECT_FALSE(worker.join_for(10ms));
  EXPECT_EQ(worker.shutdown(End::drain, 20ms).cancelled, 1u);
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(runs)));
}

TEST_P(ActorEnds, AtItsDeadlineWithWhatWaits) {
  support::Trace const trace;
  auto worker = pool_.actor<Worker>({.restarts = 5});
  auto runs = worker.call([](Worker& object) {
    support::Trace::note(1);
    object.hang();
  });
  EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::vector<Future<int>> never;
  for (int i = 0; i < 200; ++i) never.push_back(worker.call<&Worker::add>(1));
  EXPECT_EQ(worker.shutdown(End::drain, 20ms).cancelled, 201u);
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(runs)));
  for (auto& call : never) EXPECT_TRUE(support::is<TaskCancelled>(error_of(call)));
}

// However many restarts are left.
TEST_P(ActorEnds, WithoutAnotherProcess) {
  support::Trace const trace;
  {
    auto noting = pool_.actor<NotesItsLife>({.restarts = 3});
    noting.call<&NotesItsLife::call>().get();
  }
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(pool_.stats().actor_restarts, 0u);
}

TEST_P(ActorEnds, WithItsPoolByKill) {
  auto worker = pool_.actor<Worker>({.restarts = 5});
  auto runs = worker.call<&Worker::hang>();
  auto never = worker.call<&Worker::add>(1);
  pid_t const pid = worker.pid();
  EXPECT_EQ(pool_.terminate().cancelled, 2u);
  EXPECT_FALSE(support::alive(pid));
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(runs)));
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(never)));
  EXPECT_THROW(static_cast<void>(worker.call<&Worker::add>(1)), PoolClosed);
}

TEST_P(ActorEnds, WithItsPoolAfterEverythingThatWasAccepted) {
  support::Gate gate;
  auto worker = pool_.actor<Worker>();
  auto waits = worker.call<&Worker::wait>(gate.path());
  auto next = worker.call<&Worker::add>(1);
  pool_.close();
  EXPECT_FALSE(pool_.join_for(10ms));
  gate.open();
  pool_.join();
  EXPECT_EQ(next.get(), 1);
}

TEST_P(ActorEnds, AfterACrashInAPoolThatDrains) {
  support::Gate gate;
  auto worker = pool_.actor<Worker>({.restarts = 1}, 10);
  auto waits = worker.call<&Worker::wait>(gate.path());
  auto dies = worker.call<&Worker::die>();
  auto next = worker.call<&Worker::add>(1);
  EXPECT_FALSE(pool_.join_for(1ms));
  gate.open();
  pool_.join();
  EXPECT_TRUE(support::is<WorkerDied>(error_of(dies)));
  EXPECT_EQ(next.get(), 11);
}

TEST_P(ActorEnds, NoSoonerThanItsConstructor) {
  support::Trace const trace;
  support::Gate gate;
  {
    auto slow = pool_.actor<SlowToMake>(gate.path());
    EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
    EXPECT_FALSE(slow.join_for(5ms));
    gate.open();
  }
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 2, 3}));
}

TEST_P(ActorEnds, AtOnceAfterItsConstructor) {
  support::Trace const trace;
  std::vector<std::int64_t> made_and_destroyed;
  for (int i = 0; i < 10; ++i) {
    static_cast<void>(pool_.actor<NotesItsLife>());
    made_and_destroyed.insert(made_and_destroyed.end(), {2, 4});
  }
  EXPECT_EQ(trace.numbers(), made_and_destroyed);
}

TEST_P(ActorEnds, NoSoonerThanItsConstructorWithItsPool) {
  support::Trace const trace;
  support::Gate gate;
  auto slow = pool_.actor<SlowToMake>(gate.path());
  EXPECT_FALSE(pool_.join_for(5ms));
  gate.open();
  pool_.join();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 2, 3}));
}

// After ten seconds.
TEST(ActorOfAPool, IsWhatThePoolWaitsForIfItIsStillToBeMade) {
  support::Trace const trace;
  support::Gate gate;
  std::string said;
  std::optional<ProcessPool> pool;
  pool.emplace(PoolOptions{.workers = 1, .log = [&](std::string_view text) {
                             said += text;
                             gate.open();
                           }});
  auto slow = pool->actor<SlowToMake>(gate.path());
  pool.reset();
  EXPECT_NE(said.find("still waits for an actor whose constructor has not returned"),
            std::string::npos)
      << said;
}

TEST_P(ActorEnds, ByKillInItsConstructor) {
  support::Trace const trace;
  support::Gate gate;
  auto slow = pool_.actor<SlowToMake>(gate.path());
  auto never = slow.call<&SlowToMake::call>();
  EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
  slow.shutdown(End::kill);
  EXPECT_TRUE(support::is<TaskCancelled>(error_of(never)));
}

TEST_P(ActorEnds, AtOnceByKill) {
  for (int i = 0; i < 20; ++i) {
    auto worker = pool_.actor<Worker>();
    auto call = worker.call<&Worker::hang>();
    worker.shutdown(End::kill);
    EXPECT_TRUE(support::is<TaskCancelled>(error_of(call)));
  }
}

TEST_P(ActorEnds, InItsConstructorWhichIsADeath) {
  support::Trace const trace;
  auto one = pool_.actor<DiesAtFirst>();
  auto never = one.call<&DiesAtFirst::call>();
  auto const died = support::thrown_by<ActorDied>([&] { never.get(); });
  EXPECT_TRUE(support::says(died, "was killed by SIGKILL while it made its object"));
  EXPECT_FALSE(support::says(died, "initializer"));
  EXPECT_FALSE(support::says(died, "task")) << "the user has no such task: " << died.what();
}

TEST_P(ActorEnds, ByATimeoutSayAfterwardsWhatItWas) {
  auto worker = pool_.actor<Worker>({.name = "slow"});
  auto hangs = worker.with({.timeout = 20ms, .label = "to the end"}).call<&Worker::hang>();
  auto const late = support::thrown_by<procpool::TaskTimeout>([&] { hangs.get(); });
  EXPECT_TRUE(support::says(late, "/slow\" ran longer than its timeout")) << late.what();
  EXPECT_TRUE(support::says(late, "to the end")) << late.what();
  auto next = worker.call<&Worker::add>(1);
  auto const died = support::thrown_by<ActorDied>([&] { next.get(); });
  EXPECT_TRUE(
      support::says(died, "was ended, since a call ran for too long: procpool::TaskTimeout"))
      << died.what();
}

TEST_P(ActorEnds, InItsConstructorAndBeginsAgain) {
  support::Trace const trace;
  auto again = pool_.actor<DiesAtFirst>({.restarts = 1});
  EXPECT_EQ(again.call<&DiesAtFirst::call>().get(), 5);
  EXPECT_EQ(again.incarnation(), 2u);
}

TEST_P(ActorEnds, AreTheSameForManyAtOnce) {
  std::vector<Actor<Worker>> workers;
  for (int i = 0; i < 12; ++i) workers.push_back(pool_.actor<Worker>({.restarts = 1}, i));
  std::vector<Future<int>> sums;
  for (auto& worker : workers) {
    static_cast<void>(worker.call<&Worker::die>());
    sums.push_back(worker.call<&Worker::add>(100));
  }
  for (int i = 0; i < 12; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)].get(), i + 100);
  EXPECT_EQ(pool_.stats().actors, 12u);
  EXPECT_EQ(pool_.stats().actor_restarts, 12u);
  workers.clear();
  EXPECT_EQ(pool_.stats().actors, 0u);
}

TEST_P(ActorEnds, ComeBetweenInitializerAndExitHandler) {
  support::Trace const trace;
  {
    ProcessPool pool{{.workers = 1,
                      .start = {.method = GetParam(),
                                .initializer = procpool::bound<before>(),
                                .exit_handler = procpool::bound<after>()}}};
    auto noting = pool.actor<NotesItsLife>();
    noting.call<&NotesItsLife::call>().get();
  }
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
}

TEST_P(ActorEnds, WithoutAnInitializerThatWorks) {
  ProcessPool pool{
      {.workers = 1, .start = {.method = GetParam(), .initializer = procpool::bound<cannot>()}}};
  auto worker = pool.actor<Worker>({.restarts = 3});
  auto call = worker.call<&Worker::add>(1);
  EXPECT_TRUE(support::is<std::domain_error>(error_of(call)));
}

TEST_P(ActorEnds, WithAListedExceptionOfItsConstructor) {
  ProcessPool pool{{.workers = 1,
                    .start = {.method = GetParam()},
                    .exceptions = procpool::exception_types<OwnError>()}};
  auto actor = pool.actor<ThrowsItsOwn>();
  EXPECT_THROW(actor.call<&ThrowsItsOwn::call>().get(), OwnError);
  EXPECT_THROW(actor.call<&ThrowsItsOwn::call>().get(), OwnError);
}

INSTANTIATE_TEST_SUITE_P(Each, ActorEnds, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(ActorOfAPool, ReadsAQueueThatOthersFill) {
  ProcessPool pool{1};
  procpool::Queue<int> queue;
  auto reader = pool.actor<Reader>({.restarts = 1}, queue);
  auto sum = reader.call<&Reader::sum>();
  pool.call(
      [](procpool::Queue<int> const& to) {
        for (int i = 1; i <= 10; ++i) to.push(i);
      },
      queue);
  queue.close();
  EXPECT_EQ(sum.get(), 55);
}

TEST(ActorOfAPool, IsGivenAnEndOfAPipe) {
  ProcessPool pool{1};
  procpool::Queue<int> const queue;
  {
    auto [here, there] = procpool::make_pipe<int>();
    auto reader = pool.actor<Reader>(queue, std::move(there));
    reader.call<&Reader::send>(5).get();
    EXPECT_EQ(here.receive(), 5);
    reader.join();
    EXPECT_EQ(here.receive(), std::nullopt);  // nobody else has the other end
  }
  {
    auto [here, there] = procpool::make_pipe<int>();
    auto reader = pool.actor<Reader>({.restarts = 1}, queue);
    reader.call<&Reader::give>(std::move(there)).get();
    reader.call<&Reader::send>(6).get();
    EXPECT_EQ(here.receive(), 6);
  }
  auto [here, there] = procpool::make_pipe<int>();
  EXPECT_THROW(static_cast<void>(pool.actor<Reader>({.restarts = 1}, queue, std::move(there))),
               std::invalid_argument);
  here.send(7);
  EXPECT_EQ(there.receive(), 7);  // it was not given away
}

TEST(ActorOfAPool, IsUsedInATask) {
  ProcessPool pool{1};
  EXPECT_EQ(pool.call<use_an_actor>(4), 5);
}

TEST(ActorOfAPool, GoesOnInThenAndCoroutines) {
  ProcessPool pool{1};
  auto worker = pool.actor<Worker>(1);
  EXPECT_EQ(worker.call<&Worker::add>(1).then([](int x) { return x * 10; }).get(), 20);
  auto const both = [](Actor<Worker>& actor) -> Future<int> {
    int const one = co_await actor.call<&Worker::add>(1);
    co_return one + co_await actor.call<&Worker::add>(1);
  };
  EXPECT_EQ(both(worker).get(), 7);
}

TEST(ActorOfAPool, IsKilledWhenAnExceptionUnwinds) {
  ProcessPool pool{1};
  pid_t pid = 0;
  support::Stopwatch const time;
  try {
    auto worker = pool.actor<Worker>();
    auto hangs = worker.call<&Worker::hang>();
    pid = worker.pid();
    throw std::runtime_error("on its way");
  } catch (std::runtime_error const&) {
  }
  EXPECT_FALSE(support::alive(pid));
  EXPECT_LT(time.passed(), 10s);
}

TEST(ActorOfAPool, OutlivesThePoolAsAHandle) {
  std::optional<Actor<Worker>> worker;
  {
    ProcessPool pool{1};
    worker.emplace(pool.actor<Worker>(1));
    EXPECT_EQ(worker->call<&Worker::add>(1).get(), 2);
  }
  EXPECT_THROW(static_cast<void>(worker->call<&Worker::add>(1)), PoolClosed);
  EXPECT_EQ(worker->pending(), 0u);
  worker->join();
}

TEST(ActorOfAPool, ViewsOutliveIt) {
  ProcessPool pool{1};
  std::optional<procpool::ActorView<Worker>> view;
  {
    auto worker = pool.actor<Worker>(1);
    view.emplace(worker.with({.timeout = 10s}));
    EXPECT_EQ(view->call<&Worker::add>(1).get(), 2);
  }
  EXPECT_THROW(static_cast<void>(view->call<&Worker::add>(1)), PoolClosed);
}

TEST(ActorOfAPool, LeavesNothing) {
  ProcessPool pool{1};
  auto const use = [&] {
    std::vector<Actor<Worker>> workers;
    for (int i = 0; i < 8; ++i) workers.push_back(pool.actor<Worker>(i));
    for (auto& worker : workers) EXPECT_GE(worker.call<&Worker::add>(1).get(), 1);
  };
  use();
  auto const before = support::open_resources();
  for (int round = 0; round < 5; ++round) use();
  EXPECT_EQ(support::open_resources().descriptors, before.descriptors);
  EXPECT_EQ(support::open_resources().children, before.children);
}

TEST(ActorOfAPool, IsInertInAForkedChild) {
  ProcessPool pool{1};
  auto worker = pool.actor<Worker>(1);
  EXPECT_EQ(worker.call<&Worker::add>(1).get(), 2);
  EXPECT_EQ(support::in_child([&] { static_cast<void>(worker.call<&Worker::add>(1)); }), 'S');
  EXPECT_EQ(support::in_child([&] { worker.join(); }), 'S');
  EXPECT_EQ(support::in_child([&] { auto const ended = std::move(worker); }), 'v');
  EXPECT_EQ(worker.call<&Worker::add>(1).get(), 3);
}

TEST(ActorInTheProgram, RefusesACallFromInsideOfACall) {
  ProcessPool pool{{.start = {.method = Start::in_process}}};
  static Actor<Worker>* known = nullptr;
  auto worker = pool.actor<Worker>(1);
  known = &worker;
  EXPECT_THROW(worker.call([](Worker&) { known->call<&Worker::add>(1).get(); }).get(),
               procpool::SetupError);
  EXPECT_EQ(worker.call<&Worker::add>(1).get(), 2);
}
