// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Pools whose workers are on three hosts.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/fake_cluster.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using support::FakeCluster;
using tasks::after;
using tasks::crash;
using tasks::numbers;
using tasks::square;
using tasks::who_runs;

int refuse_odd(int x) {
  if (x % 2 == 1) throw std::out_of_range("odd " + std::to_string(x));
  return x;
}
int crash_at_seven(int x) { return x == 7 ? ::raise(SIGSEGV) : x; }
int noted_at_gate(int x, std::string const& gate) {
  support::Trace::note(x);
  support::wait_at(gate);
  return x;
}
// Inputs of that.
std::vector<std::pair<int, std::string>> at_gate(int count, support::Gate const& gate) {
  std::vector<std::pair<int, std::string>> all;
  for (int i = 0; i < count; ++i) all.emplace_back(i, gate.path());
  return all;
}
std::size_t size_of(std::string const& text) { return text.size(); }
std::string text_of_size(std::size_t size) {
  support::Trace::note(1);
  return std::string(size, 'x');
}
int shared_sum(procpool::Shared<std::vector<int>> const& values, int x) {
  return values->at(static_cast<std::size_t>(x)) + x;
}
unsigned long draw(int) { return procpool::this_task::random()(); }
void print(int x) {
  std::printf("line %d\n", x);
  std::fflush(stdout);
}
void log_and_crash(int) {
  procpool::log(procpool::LogLevel::warning, "it will crash");
  ::raise(SIGSEGV);
}
int read_first(procpool::SharedArray<int> const& array) { return array[0]; }

}  // namespace

TEST(Cluster, ResultsComeInOrder) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  EXPECT_EQ(pool.size(), 6u);
  auto const squares = pool.map<square>(numbers(2000));
  ASSERT_EQ(squares.size(), 2000u);
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(squares[static_cast<std::size_t>(i)], i * i);
  EXPECT_EQ(pool.submit<square>(12).get(), 144);
}

// The others have answered, and tell of their workers, before the client has heard of the last one.
TEST(Cluster, AHostThatIsUpLateIsWaitedFor) {
  auto options = FakeCluster::quick();
  options.beat = 20ms;
  FakeCluster cluster(3, options, 10min, 1u << 1);
  std::thread last([&] {
    EXPECT_TRUE(support::until([&] { return cluster.faults.arrived >= 20; }));
    cluster.faults.late = 0;
  });
  auto pool = cluster.pool();
  last.join();
  EXPECT_EQ(pool.size(), 6u);
  EXPECT_EQ(pool.map<square>(numbers(100))[9], 81);
}

TEST(Cluster, EveryHostWorks) {
  support::Trace const trace;
  FakeCluster cluster;
  auto pool = cluster.pool();
  support::Gate const gate;
  std::vector<procpool::Future<int>> waiting;
  // As many as there are workers: each of them gets one.
  for (int i = 0; i < 6; ++i) waiting.push_back(pool.submit<noted_at_gate>(i, gate.path()));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  gate.open();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(waiting[static_cast<std::size_t>(i)].get(), i);
}

TEST(Cluster, ExceptionsKeepTheirTypeAndElement) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  auto const outcomes = pool.outcomes().map<refuse_odd>(numbers(50));
  for (std::size_t i = 0; i < 50; ++i) {
    ASSERT_EQ(outcomes[i].has_value(), i % 2 == 0) << i;
    if (outcomes[i].has_value()) continue;
    auto const* const error = outcomes[i].error().as<std::out_of_range>();
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(error->what(), "odd " + std::to_string(i));
    EXPECT_EQ(outcomes[i].error().as<procpool::Origin>()->element, i);
  }
  EXPECT_THROW(pool.map<refuse_odd>(numbers(50)), std::out_of_range);
}

TEST(Cluster, ACrashCostsOneElementAndTellsItsStackAndHost) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  auto const outcomes = pool.outcomes().map<crash_at_seven>(numbers(40));
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(outcomes[i].has_value(), i != 7) << i;
  auto const* const died = outcomes[7].error().as<procpool::WorkerDied>();
  ASSERT_NE(died, nullptr) << support::text_of(outcomes[7]);
  EXPECT_EQ(died->signal(), SIGSEGV);
  EXPECT_EQ(died->element(), 7u);
  EXPECT_FALSE(died->stack().empty());
  EXPECT_NE(std::string(died->what()).find("on host node"), std::string::npos) << died->what();
  EXPECT_EQ(outcomes[7].error().kind(), procpool::FailureKind::died);
}

TEST(Cluster, RetriesAreTheClients) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.with({.retries = {.times = 2}}).call<crash>(0); });
  EXPECT_EQ(died.attempts(), 3u);
  EXPECT_EQ(died.earlier_attempts().size(), 2u);
}

TEST(Cluster, CancelEndsWhatRunsAndWhatWaits) {
  support::Trace const trace;
  FakeCluster cluster;
  auto pool = cluster.pool();
  support::Gate const gate;
  std::vector<procpool::Future<int>> all;
  for (int i = 0; i < 30; ++i) all.push_back(pool.submit<noted_at_gate>(i, gate.path()));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  for (auto& future : all) future.cancel();
  for (auto& future : all) EXPECT_THROW(future.get(), procpool::TaskCancelled);
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST(Cluster, TimeoutsAreThoseOfTheHostAndWaitingIsTheClients) {
  support::Trace const trace;
  FakeCluster cluster(3);
  auto pool = cluster.pool();
  auto const late = support::thrown_by<procpool::TaskTimeout>(
      [&] { pool.with({.timeout = 50ms}).call<after>(60'000); });
  EXPECT_EQ(late.element(), 0u);
  support::Gate const gate;
  std::vector<procpool::Future<int>> busy;
  for (int i = 0; i < 6; ++i) busy.push_back(pool.submit<noted_at_gate>(i, gate.path()));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  EXPECT_THROW(pool.with({.queue_timeout = 20ms}).call<square>(2), procpool::TaskTimeout);
  EXPECT_THROW(pool.with({.deadline = std::chrono::steady_clock::now() + 20ms}).call<square>(2),
               procpool::TaskTimeout);
  gate.open();
  for (auto& future : busy) future.get();
}

TEST(Cluster, StreamsKeepTheirOrder) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  int next = 0;
  for (int const x : pool.imap<square>(numbers(500))) {
    EXPECT_EQ(x, next * next);
    ++next;
  }
  EXPECT_EQ(next, 500);
  std::multiset<int> seen;
  for (auto const& [index, x] : pool.imap_unordered<square>(numbers(100))) seen.insert(x);
  EXPECT_EQ(seen.size(), 100u);
}

TEST(Cluster, SharedValuesArriveBeforeWhatNamesThem) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  auto const values = pool.share(numbers(1000));
  auto const sums = pool.map<shared_sum>(std::vector(1000, values), numbers(1000));
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(sums[i], static_cast<int>(2 * i));
}

TEST(Cluster, LargeArgumentsTravelInPieces) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  std::size_t const large = std::size_t{40} << 20;
  EXPECT_EQ(pool.call<size_of>(std::string(large, 'x')), large);
}

// More than may be under way at once. The workers are gone long before the last piece has come.
TEST(Cluster, LargeResultsTravelInPiecesAlsoAtTheEndOfThePool) {
  support::Trace const trace;
  FakeCluster cluster;
  cluster.faults.delay_us = 500'000;
  auto pool = cluster.pool();
  std::size_t const large = std::size_t{70} << 20;
  auto future = pool.submit<text_of_size>(large);
  EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
  pool.shutdown(procpool::End::cancel);
  EXPECT_EQ(future.get().size(), large);
}

TEST(Cluster, KeysBindElementsToOneWorker) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  for (std::uint64_t key = 0; key < 4; ++key) {
    auto view = pool.with({.key = procpool::Key(key)});
    std::set<pid_t> processes;
    for (int i = 0; i < 10; ++i) processes.insert(view.call<who_runs>(i));
    EXPECT_EQ(processes.size(), 1u);
  }
}

TEST(Cluster, RandomStreamsAreThoseOfOneMachine) {
  FakeCluster cluster;
  auto pool = cluster.pool({.seed = 5});
  procpool::ProcessPool local{{.workers = 2, .seed = 5}};
  EXPECT_EQ(pool.map<draw>(numbers(100)), local.map<draw>(numbers(100)));
}

TEST(Cluster, OutputIsCaptured) {
  FakeCluster cluster;
  auto pool = cluster.pool({.output = {.mode = procpool::Output::capture}});
  auto future = pool.submit<print>(5);
  future.wait();
  EXPECT_EQ(future.output(), "line 5\n");
}

TEST(Cluster, HandlesOfOneMachineAreRefused) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  procpool::SharedArray<int> const array(10);
  auto const error =
      support::thrown_by<procpool::SerializationError>([&] { pool.call<read_first>(array); });
  EXPECT_NE(std::string(error.what()).find("exists on one machine only"), std::string::npos);
}

TEST(Cluster, EachWorkerOfEachHostGetsOne) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  std::set<pid_t> processes;
  for (auto const& process : pool.on_each_worker<tasks::who>()) processes.insert(process);
  EXPECT_EQ(processes.size(), 6u);
}

TEST(Cluster, WorkersStartAhead) {
  FakeCluster cluster;
  auto pool = cluster.pool();
  pool.start().get();
  EXPECT_TRUE(support::until([&] { return pool.stats().workers == 6; }));
}

TEST(Cluster, AFullQueueRefusesAndWaits) {
  support::Trace const trace;
  FakeCluster cluster;
  auto pool = cluster.pool({.queue_limit = 8});
  support::Gate const gate;
  std::vector<procpool::Future<int>> busy;
  auto view = pool.with({.when_full = procpool::WhenFull::refuse});
  auto const fill = [&] {
    for (int i = 0; i < 100; ++i) busy.push_back(view.submit<noted_at_gate>(i, gate.path()));
  };
  EXPECT_THROW(fill(), procpool::QueueFull);
  gate.open();
  for (auto& future : busy) future.get();
}

TEST(Cluster, EndsAsAPoolEnds) {
  support::Trace const trace;
  FakeCluster cluster;
  {
    auto pool = cluster.pool();
    auto kept = pool.map_async<square>(numbers(300));
    procpool::Summary const summary = pool.shutdown();
    EXPECT_EQ(summary.done, 300u);
    EXPECT_EQ(kept.get().back(), 299 * 299);
    EXPECT_THROW(pool.call<square>(1), procpool::PoolClosed);
  }
  auto pool = cluster.pool();
  support::Gate const gate;
  std::vector<procpool::Future<int>> busy;
  for (int i = 0; i < 30; ++i) busy.push_back(pool.submit<noted_at_gate>(i, gate.path()));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  EXPECT_EQ(pool.terminate().cancelled, 30u);
  for (auto& future : busy) EXPECT_THROW(future.get(), procpool::TaskCancelled);
}

TEST(Cluster, ProgressAndStatsNameTheTaskAndThePlaceOfTheClient) {
  support::Trace const trace;
  FakeCluster cluster;
  auto pool = cluster.pool();
  support::Gate const gate;
  auto future = pool.with({.label = "waits"}).submit<noted_at_gate>(1, gate.path());
  EXPECT_TRUE(support::until([&] { return future.progress().has_value(); }));
  auto const running = future.progress();
  ASSERT_TRUE(running);
  EXPECT_EQ(running->label, "waits");
  auto const places = pool.worker_stats();
  ASSERT_EQ(places.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(places[i].host, "node" + std::to_string(i / 2));
  ASSERT_LT(running->worker, 6u);
  EXPECT_TRUE(places[running->worker].running);
  gate.open();
  EXPECT_EQ(future.get(), 1);
}

std::string host_unless_two(int number) {
  if (number == 2) throw std::out_of_range(std::string(procpool::this_task::host()));
  return std::string(procpool::this_task::host());
}
std::string host_below(int number) {
  procpool::ProcessPool pool{1};
  return pool.call<host_unless_two>(number);
}

TEST(Cluster, ATaskAndItsExceptionNameTheHost) {
  EXPECT_EQ(procpool::this_task::host(), "");
  std::optional<FakeCluster> cluster(std::in_place);
  std::optional<procpool::ProcessPool> pool(cluster->pool());
  EXPECT_EQ(pool->call<host_unless_two>(1).substr(0, 4), "node");
  EXPECT_EQ(pool->call<host_below>(1), "") << "a pool within a task has workers on one machine";
  auto future = pool->submit<host_unless_two>(2);
  future.wait();
  pool.reset();
  cluster.reset();
  try {
    future.get();
    FAIL();
  } catch (std::out_of_range const& error) {
    std::string const host = dynamic_cast<procpool::Origin const&>(error).host;
    EXPECT_EQ(host.substr(0, 4), "node");
    EXPECT_EQ(error.what(), host);
  }
}

TEST(Cluster, EventsNameTheTaskOfTheClient) {
  std::mutex mutex;
  std::vector<procpool::Event> logged;
  FakeCluster cluster;
  auto pool = cluster.pool({.on_event = [&](procpool::Event const& event) {
    std::lock_guard const lock(mutex);
    if (event.kind == procpool::EventKind::task_logged) logged.push_back(event);
  }});
  pool.call<square>(1);
  auto const died = support::thrown_by<procpool::WorkerDied>([&] { pool.call<log_and_crash>(0); });
  EXPECT_EQ(died.host().substr(0, 4), "node");
  EXPECT_TRUE(support::until([&] {
    std::lock_guard const lock(mutex);
    return !logged.empty();
  }));
  std::lock_guard const lock(mutex);
  ASSERT_EQ(logged.size(), 1u);
  EXPECT_EQ(logged[0].task, died.task());
  EXPECT_EQ(logged[0].worker, died.worker());
  EXPECT_EQ(logged[0].text, died.host() + ": it will crash");
}

// ---- what a network does

TEST(Cluster, MessagesThatComeTwiceLateAndInAnyOrderChangeNothing) {
  FakeCluster cluster;
  cluster.faults.twice = true;
  cluster.faults.disorder = true;
  cluster.faults.delay_us = 300;
  auto pool = cluster.pool();
  auto const outcomes = pool.outcomes().map<crash_at_seven>(numbers(300));
  for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(outcomes[i].has_value(), i != 7) << i;
}

namespace {

procpool::cluster::Options soon_lost(procpool::cluster::OnLost on_lost) {
  auto options = FakeCluster::quick();
  options.beat = 50ms;
  options.lost_after = 5s;  // what a busy machine may take for one beat
  options.on_host_lost = on_lost;
  return options;
}

}  // namespace

TEST(Cluster, AHostThatIsCutOffCostsWhatItMayHaveBegun) {
  support::Trace const trace;
  FakeCluster cluster(3, soon_lost(procpool::cluster::OnLost::fail));
  auto pool = cluster.pool();
  support::Gate const gate;
  auto waiting = pool.outcomes().starmap_async<noted_at_gate>(at_gate(60, gate));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  cluster.faults.cut = 1u << 1;
  EXPECT_TRUE(support::until([&] { return pool.size() == 4; }));
  gate.open();
  // Its two workers had one each; what waited behind them was not granted.
  EXPECT_EQ(support::lost_with("node1", waiting.get()), 2u);
}

TEST(Cluster, AHostThatIsCutOffCostsNothingIfItsElementsRunAgain) {
  support::Trace const trace;
  FakeCluster cluster(3, soon_lost(procpool::cluster::OnLost::again));
  auto pool = cluster.pool();
  support::Gate const gate;
  auto waiting = pool.starmap_async<noted_at_gate>(at_gate(60, gate));
  EXPECT_TRUE(support::until([&] { return trace.size() == 6; }));
  cluster.faults.cut = 1u << 2;
  EXPECT_TRUE(support::until([&] { return pool.size() == 4; }));
  gate.open();
  EXPECT_EQ(waiting.get(), numbers(60));
}

TEST(Cluster, WithoutAHostEveryElementFails) {
  support::Trace const trace;
  FakeCluster cluster(2, soon_lost(procpool::cluster::OnLost::again));
  auto pool = cluster.pool();
  support::Gate const gate;
  std::vector<procpool::Future<int>> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(pool.submit<noted_at_gate>(i, gate.path()));
  EXPECT_TRUE(support::until([&] { return trace.size() == 4; }));
  cluster.faults.cut = 3;
  for (auto& future : waiting) EXPECT_THROW(future.get(), procpool::HostLost);
  EXPECT_THROW(pool.call<square>(1), procpool::HostLost);
  gate.open();
}

TEST(Cluster, AHostThatHearsNothingOfItsClientEndsAndTheNextPoolSaysSo) {
  auto options = FakeCluster::quick();
  options.start_timeout = 1h;  // nobody waits for it
  FakeCluster cluster(2, options, 5s);
  {
    auto pool = cluster.pool();
    cluster.faults.cut = 3;
    EXPECT_TRUE(support::until([&] { return cluster.ended() == 2; }));
    EXPECT_THROW(pool.call<square>(1), procpool::HostLost);
  }
  auto const error = support::thrown_by<procpool::SetupError>([&] { cluster.pool(); });
  EXPECT_NE(std::string(error.what()).find("its process has ended"), std::string::npos)
      << error.what();
}
