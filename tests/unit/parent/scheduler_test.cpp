// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The scheduler's rules, without processes or clocks: time is what the test says.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "parent/ledger.hpp"
#include "parent/scheduler.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using TimePoint = Scheduler::TimePoint;

void measured_code(detail::Operation&) {}

std::shared_ptr<detail::Task> make_task(std::size_t chunk = 0) {
  detail::Function function;
  function.code = measured_code;
  function.argument_size = 1;
  return std::make_shared<detail::Task>(function, detail::TaskOptions{.chunk = chunk});
}

// Tasks refer to it.
detail::TaskControl const& kept_control(detail::TaskControl control) {
  static std::deque<detail::TaskControl> kept;
  return kept.emplace_back(std::move(control));
}

std::shared_ptr<detail::Task> make_keyed(Key key) {
  auto const plain = make_task();
  return std::make_shared<detail::Task>(
      plain->function(), detail::TaskOptions{.control = &kept_control({.key = key})});
}

std::shared_ptr<detail::Task> make_urgent(int priority) {
  auto const plain = make_task();
  return std::make_shared<detail::Task>(
      plain->function(), detail::TaskOptions{.control = &kept_control({.priority = priority})});
}

Chunk make_chunk(std::shared_ptr<detail::Task> const& task, std::uint64_t count,
                 std::uint64_t first = 0) {
  detail::InputBuffer input{first, count, detail::Bytes(count), {}};
  return {task, std::make_shared<SharedInput>(std::move(input), 1), first, count};
}

// A scheduler with the ledgers of its workers: what next() gives is put at once, and each change of a
// ledger is observed unless the test says otherwise.
class Workers {
 public:
  explicit Workers(std::size_t workers,
                   std::uint64_t max_per_worker = std::numeric_limits<std::uint64_t>::max(),
                   std::uint64_t grain_bytes = std::numeric_limits<std::uint64_t>::max(),
                   Scheduler::Keys keys = Scheduler::Keys::are_bound)
      : scheduler_(workers, max_per_worker, grain_bytes, keys), workers_(workers) {}

  Scheduler* operator->() { return &scheduler_; }
  Scheduler& operator*() { return scheduler_; }

  void ready(std::size_t worker, TimePoint now = {}) {
    observe(worker, load(worker), now);
    scheduler_.worker_ready(worker, now);
  }
  // Its worker is dead, and all that it held is the caller's.
  void dies(std::size_t worker) {
    workers_[worker].ledger.reset();
    observe(worker, load(worker), {});
    scheduler_.worker_leaves(worker);
  }

  // The load as the slot would report it now.
  Load load(std::size_t worker) {
    Worker const& at = workers_[worker];
    return workers_[worker].ledger.load(at.revoking, !at.full);
  }
  void observe(std::size_t worker, Load const& load, TimePoint now = {}) {
    scheduler_.observe(worker, load, now);
  }

  // Into the slot, as a thread would do that has it from next(). Not observed.
  void put(std::size_t worker, Chunk chunk) {
    Worker& at = workers_[worker];
    std::uint64_t const count = chunk.count;
    at.ledger.offer(chunk);
    at.ledger.reserve();
    at.ledger.add(at.next_serial, std::move(chunk));
    at.next_serial += count;
  }
  // The slot has no room for it.
  Load refuse(std::size_t worker, Chunk const& chunk) {
    workers_[worker].ledger.offer(chunk);
    workers_[worker].ledger.return_unsent(chunk);
    workers_[worker].full = true;
    return load(worker);
  }
  // What the worker returned is in the queue again.
  void requeue(std::size_t worker, Chunk chunk) {
    std::uint64_t const count = chunk.count;
    scheduler_.requeue(std::move(chunk));
    scheduler_.came_back(worker, count);
  }

  // The slot has room again.
  void make_room(std::size_t worker) {
    workers_[worker].full = false;
    observe(worker, load(worker));
  }

  // Into the hands of a thread.
  std::optional<Scheduler::Group> take(
      Scheduler::Coalescing coalescing = Scheduler::Coalescing::goes) {
    Scheduler::Group group;
    return scheduler_.next(group, coalescing) ? std::optional(std::move(group)) : std::nullopt;
  }

  struct Given {
    std::size_t worker;
    Chunk chunk;  // the first one
    std::size_t chunks;
  };
  std::optional<Given> next(Scheduler::Coalescing coalescing = Scheduler::Coalescing::goes) {
    auto group = take(coalescing);
    if (!group) return std::nullopt;
    Given given{group->worker, group->chunks.front(), group->chunks.size()};
    for (Chunk& chunk : group->chunks) put(group->worker, std::move(chunk));
    observe(group->worker, load(group->worker));
    return given;
  }

  // The worker answers so many elements, which took so long together.
  void answer(std::size_t worker, std::uint64_t elements, std::uint64_t nanoseconds,
              TimePoint now = {}) {
    Worker& at = workers_[worker];
    auto const code = at.ledger.front().chunk.task->function().code;
    std::uint64_t left = elements;
    while (left != 0) {
      std::uint64_t const some = std::min(left, at.ledger.front().chunk.count);
      at.ledger.resolve(some);
      left -= some;
    }
    at.full = false;
    observe(worker, load(worker), now);
    scheduler_.measure(code, elements, nanoseconds);
  }
  // Takes so many back, which the worker has not acknowledged by then.
  Load revoke(std::size_t worker, std::uint64_t elements) {
    Worker& at = workers_[worker];
    if (auto const serial = at.ledger.serial_of_last(elements)) at.ledger.revoke_from(*serial);
    at.revoking = true;
    return load(worker);
  }
  Load acknowledge(std::size_t worker) {
    workers_[worker].revoking = false;
    return load(worker);
  }

 private:
  struct Worker {
    Ledger ledger;
    std::uint64_t next_serial = 0;
    bool revoking = false;
    bool full = false;
  };
  Scheduler scheduler_;
  std::vector<Worker> workers_;
};

class SchedulerTest : public testing::Test {
 protected:
  void ready(std::size_t workers) {
    for (std::size_t i = 0; i < workers; ++i) workers_.ready(i, now_);
  }
  // Everything that is placed now, as (worker, first, count).
  std::vector<std::array<std::uint64_t, 3>> place() {
    std::vector<std::array<std::uint64_t, 3>> placed;
    while (auto a = workers_.next()) {
      placed.push_back({a->worker, a->chunk.first, a->chunk.count});
    }
    return placed;
  }
  // One element ran, and took so long.
  void know_cost(double nanoseconds) {
    scheduler_.add(make_chunk(make_task(), 1));
    auto const probe = workers_.next();
    workers_.answer(probe->worker, 1, static_cast<std::uint64_t>(nanoseconds), now_);
  }
  using Placed = std::vector<std::array<std::uint64_t, 3>>;
  static constexpr auto goes = Scheduler::Coalescing::goes;
  static constexpr auto waits = Scheduler::Coalescing::waits;

  TimePoint now_{1s};
  Workers workers_{4};
  Scheduler& scheduler_ = *workers_;
};

TEST_F(SchedulerTest, NothingGoesToWorkersThatAreNotReady) {
  scheduler_.add(make_chunk(make_task(), 3));
  EXPECT_EQ(place(), Placed{});
  EXPECT_EQ(scheduler_.waiting(), 3u);
}

TEST_F(SchedulerTest, IdleWorkersFirstThenOneAhead) {
  ready(2);
  scheduler_.add(make_chunk(make_task(), 10));
  // Of an unknown cost: single elements, one to work on and one ahead each.
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {1, 1, 1}, {0, 2, 1}, {1, 3, 1}}));
  EXPECT_EQ(scheduler_.waiting(), 6u);
  EXPECT_EQ(scheduler_.held(0), 2u);
}

TEST_F(SchedulerTest, NoWorkerGetsASecondChunkWhileMoreWorkersAreExpected) {
  ready(1);
  scheduler_.expect_more(true);
  scheduler_.add(make_chunk(make_task(), 10));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}}));
  scheduler_.expect_more(false);
  EXPECT_EQ(place(), (Placed{{0, 1, 1}}));
}

TEST_F(SchedulerTest, FirstComeFirstServed) {
  ready(1);
  auto const first = make_task(2);
  auto const second = make_task(2);
  scheduler_.add(make_chunk(first, 2));
  scheduler_.add(make_chunk(second, 2));
  EXPECT_EQ(workers_.next()->chunk.task, first);
  EXPECT_EQ(workers_.next()->chunk.task, second);
}

TEST_F(SchedulerTest, RequeuedElementsGoAheadOfTheirEquals) {
  ready(1);
  auto const task = make_task(5);
  scheduler_.add(make_chunk(task, 5, 100));
  scheduler_.requeue(make_chunk(task, 3, 7));
  EXPECT_EQ(place(), (Placed{{0, 7, 3}, {0, 100, 5}}));
}

TEST_F(SchedulerTest, AChunkSetByHandIsKeptExactly) {
  ready(1);
  scheduler_.add(make_chunk(make_task(7), 15));
  EXPECT_EQ(place(), (Placed{{0, 0, 7}, {0, 7, 7}}));
  workers_.answer(0, 7, 0, now_);
  EXPECT_EQ(place(), (Placed{{0, 14, 1}}));
}

TEST_F(SchedulerTest, ChunksFollowTheMeasuredCostAndShrinkTowardsTheEnd) {
  ready(1);
  auto const task = make_task();
  scheduler_.add(make_chunk(task, 100'001));
  auto const probe = workers_.next();
  ASSERT_EQ(probe->chunk.count, 1u);
  workers_.answer(0, 1, 1000, now_);  // 1 us each
  std::uint64_t const by_time = static_cast<std::uint64_t>(Scheduler::grain_ns / 1000);
  auto const steady = workers_.next();
  EXPECT_EQ(steady->chunk.count, by_time);
  // Near the end half of what is left, down to what is worth its way.
  workers_.answer(0, by_time, by_time * 1000, now_);
  std::uint64_t const least = static_cast<std::uint64_t>(Scheduler::min_grain_ns / 1000);
  std::uint64_t last = by_time;
  while (scheduler_.waiting() != 0) {
    auto const next = workers_.next();
    ASSERT_TRUE(next);
    EXPECT_LE(next->chunk.count, last);
    EXPECT_LE(next->chunk.count, by_time);
    if (scheduler_.waiting() != 0) {
      EXPECT_GE(next->chunk.count, least);
    }
    last = next->chunk.count;
    workers_.answer(0, last, last * 1000, now_);
  }
  EXPECT_LE(last, least);
}

TEST_F(SchedulerTest, ChunksAreWorthTheirWay) {
  ready(2);
  know_cost(10);
  scheduler_.add(make_chunk(make_task(), 100'000));
  std::uint64_t const least = static_cast<std::uint64_t>(Scheduler::min_grain_ns / 10);
  while (scheduler_.waiting() != 0) {
    auto const next = workers_.next();
    ASSERT_TRUE(next);
    EXPECT_GE(next->chunk.count + scheduler_.waiting(), std::min(least, next->chunk.count));
    if (scheduler_.waiting() != 0) {
      EXPECT_GE(next->chunk.count, least);
    }
    workers_.answer(next->worker, next->chunk.count, 0, now_);
  }
}

TEST_F(SchedulerTest, ChunksHaveNoMoreBytesThanTheyMay) {
  Workers workers(1, std::numeric_limits<std::uint64_t>::max(), 16);
  workers.ready(0, now_);
  auto const task = make_task();  // a byte each
  workers->add(make_chunk(task, 1000));
  ASSERT_EQ(workers.next()->chunk.count, 1u);
  workers.answer(0, 1, 10, now_);
  EXPECT_EQ(workers.next()->chunk.count, 16u);
}

TEST_F(SchedulerTest, ShortChunksSetByHandGoTogether) {
  ready(1);
  know_cost(100);
  scheduler_.add(make_chunk(make_task(7), 10'000));
  auto const several = workers_.next();
  std::uint64_t const most = static_cast<std::uint64_t>(Scheduler::several_chunks_ns / 100);
  EXPECT_EQ(several->chunk.count % 7, 0u);
  EXPECT_GT(several->chunk.count, 7u);
  EXPECT_LE(several->chunk.count, most);
}

TEST_F(SchedulerTest, LongChunksSetByHandGoOneByOne) {
  ready(1);
  know_cost(Scheduler::several_chunks_ns);
  scheduler_.add(make_chunk(make_task(7), 10'000));
  EXPECT_EQ(workers_.next()->chunk.count, 7u);
}

TEST_F(SchedulerTest, NoIdleWorkerIsWokenForWhatAnotherHasDoneBefore) {
  ready(2);
  know_cost(1000);
  for (int i = 0; i < 100; ++i) scheduler_.add(make_chunk(make_task(), 1));
  auto const first = workers_.next();
  EXPECT_EQ(first->worker, 0u);
  EXPECT_EQ(first->chunks, static_cast<std::size_t>(Scheduler::worth_waking_ns / 1000) - 1);
  EXPECT_EQ(workers_.next()->worker, 1u);
}

TEST_F(SchedulerTest, WhatTakesItsTimeGoesToAnIdleWorker) {
  ready(2);
  know_cost(Scheduler::worth_waking_ns);
  scheduler_.add(make_chunk(make_task(), 1));
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(workers_.next()->worker, 0u);
  EXPECT_EQ(workers_.next()->worker, 1u);
}

TEST_F(SchedulerTest, AMeasurementOfManyElementsOutweighsTheFirst) {
  ready(1);
  know_cost(20'000);
  scheduler_.add(make_chunk(make_task(), 1000));
  auto const next = workers_.next();
  workers_.answer(0, next->chunk.count, next->chunk.count * 10, now_);
  scheduler_.measure(measured_code, 1000, 1000 * 10);
  EXPECT_LT(scheduler_.cost(measured_code), 100);
}

TEST_F(SchedulerTest, AWorkerWithoutRoomGetsNothingUntilItHasAnsweredSomething) {
  ready(1);
  auto const task = make_task(1);
  scheduler_.add(make_chunk(task, 3));
  ASSERT_TRUE(workers_.next());
  auto group = workers_.take();
  ASSERT_TRUE(group);
  workers_.observe(0, workers_.refuse(0, group->chunks[0]));
  scheduler_.requeue(std::move(group->chunks[0]));
  EXPECT_EQ(scheduler_.waiting(), 2u);
  EXPECT_FALSE(workers_.next());
  workers_.answer(0, 1, 0, now_);
  EXPECT_EQ(workers_.next()->chunk.first, 1u);
}

TEST_F(SchedulerTest, AWorkerWithoutRoomThatHoldsNothingIsTriedAgainOnRetry) {
  ready(1);
  scheduler_.add(make_chunk(make_task(1), 1));
  auto group = workers_.take();
  workers_.observe(0, workers_.refuse(0, group->chunks[0]));
  scheduler_.requeue(std::move(group->chunks[0]));
  EXPECT_FALSE(workers_.next());
  scheduler_.retry();
  EXPECT_TRUE(workers_.next());
}

TEST_F(SchedulerTest, AWorkerWithoutRoomThatHoldsSomethingIsTriedAgainAtItsNextOutcome) {
  ready(1);
  scheduler_.add(make_chunk(make_task(1), 1));
  ASSERT_TRUE(workers_.next());
  scheduler_.add(make_chunk(make_task(1), 1));
  auto group = workers_.take();
  workers_.observe(0, workers_.refuse(0, group->chunks[0]));
  scheduler_.requeue(std::move(group->chunks[0]));
  scheduler_.retry();
  EXPECT_FALSE(workers_.next());
  workers_.answer(0, 1, 0, now_);
  EXPECT_TRUE(workers_.next());
}

TEST_F(SchedulerTest, WhatAWorkerHadNoRoomForIsNotItsWork) {
  ready(1);
  know_cost(100'000);
  scheduler_.add(make_chunk(make_task(), 1));
  ASSERT_TRUE(workers_.next());
  for (int i = 0; i < 10; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    auto const group = workers_.take();
    ASSERT_TRUE(group) << i;
    EXPECT_EQ(scheduler_.held(0), 2u);
    workers_.observe(0, workers_.refuse(0, group->chunks[0]));
    workers_.make_room(0);
  }
  EXPECT_EQ(scheduler_.held(0), 1u);
}

// ---- loads

TEST_F(SchedulerTest, AnOlderLoadChangesNothing) {
  ready(1);
  scheduler_.add(make_chunk(make_task(5), 5));
  ASSERT_TRUE(workers_.next());
  Load const older = workers_.load(0);
  workers_.answer(0, 2, 10, now_ + 1s);
  EXPECT_EQ(scheduler_.held(0), 3u);
  workers_.observe(0, older, now_ + 2s);
  EXPECT_EQ(scheduler_.held(0), 3u);
  workers_.answer(0, 3, 10, now_ + 3s);
  workers_.observe(0, older, now_ + 4s);
  EXPECT_EQ(scheduler_.held(0), 0u);
  EXPECT_EQ(scheduler_.idle_since(0), now_ + 3s);
  EXPECT_EQ(scheduler_.busy_workers(), 0u);
}

// The thread that carries a chunk reports nothing when all went well: any later load says it.
TEST_F(SchedulerTest, AChunkOnItsWayIsTheWorkersUntilALoadHasIt) {
  ready(1);
  scheduler_.add(make_chunk(make_task(5), 5));
  auto group = workers_.take();
  ASSERT_TRUE(group);
  EXPECT_EQ(scheduler_.held(0), 5u);
  EXPECT_EQ(scheduler_.busy_workers(), 1u);
  workers_.observe(0, workers_.load(0));
  EXPECT_EQ(scheduler_.held(0), 5u) << "it is not in the slot yet";
  workers_.put(0, std::move(group->chunks[0]));
  EXPECT_EQ(scheduler_.held(0), 5u);
  workers_.observe(0, workers_.load(0));
  EXPECT_EQ(scheduler_.held(0), 5u) << "not counted twice";
  workers_.answer(0, 5, 10);
  EXPECT_EQ(scheduler_.held(0), 0u);
  EXPECT_EQ(scheduler_.busy_workers(), 0u);
}

TEST_F(SchedulerTest, AChunkOnItsWayOutlivesTheWorkerItWasFor) {
  ready(1);
  scheduler_.add(make_chunk(make_task(5), 5));
  auto group = workers_.take();
  ASSERT_TRUE(group);
  workers_.dies(0);
  EXPECT_EQ(scheduler_.held(0), 5u);
  workers_.observe(0, workers_.refuse(0, group->chunks[0]));
  EXPECT_EQ(scheduler_.held(0), 0u);
}

TEST_F(SchedulerTest, RemoveTakesOneTaskOnly) {
  auto const keep = make_task();
  auto const drop = make_task();
  scheduler_.add(make_chunk(keep, 2));
  scheduler_.add(make_chunk(drop, 3));
  scheduler_.add(make_chunk(keep, 4));
  auto const removed = scheduler_.remove(*drop, 0);
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0].count, 3u);
  EXPECT_EQ(scheduler_.waiting(), 6u);
  EXPECT_EQ(scheduler_.remove_all().size(), 2u);
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

TEST_F(SchedulerTest, RemoveFromAnElementOnCutsWhatLiesAcross) {
  auto const task = make_task();
  scheduler_.add(make_chunk(task, 4));
  scheduler_.add(make_chunk(task, 4, 4));
  auto const removed = scheduler_.remove(*task, 3);
  ASSERT_EQ(removed.size(), 2u);
  EXPECT_EQ(removed[0].first, 3u);
  EXPECT_EQ(removed[0].count, 1u);
  EXPECT_EQ(removed[1].first, 4u);
  EXPECT_EQ(removed[1].count, 4u);
  EXPECT_EQ(scheduler_.waiting(), 3u);
}

TEST_F(SchedulerTest, HigherPrioritiesGoFirstAndEqualOnesInTheirOrder) {
  ready(1);
  auto const with_priority = [](int priority) {
    return std::make_shared<detail::Task>(
        detail::Function{},
        detail::TaskOptions{.chunk = 1, .control = &kept_control({.priority = priority})});
  };
  std::vector const tasks{with_priority(0), with_priority(5), with_priority(-1), with_priority(5),
                          with_priority(0)};
  for (auto const& task : tasks) scheduler_.add(make_chunk(task, 1));
  std::vector<std::uint64_t> order;
  while (auto const next = workers_.next()) {
    order.push_back(next->chunk.task->id());
    workers_.answer(next->worker, 1, 0, now_);
  }
  EXPECT_EQ(order, (std::vector{tasks[1]->id(), tasks[3]->id(), tasks[0]->id(), tasks[4]->id(),
                                tasks[2]->id()}));
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

TEST(SchedulerQuota, AWorkerIsGivenNoMoreThanItMayBe) {
  Workers workers(1, 5);
  workers.ready(0);
  workers->add(make_chunk(make_task(3), 12));
  std::uint64_t given = 0;
  for (int i = 0; i < 2; ++i) given += workers.next()->chunk.count;
  EXPECT_EQ(given, 5u);  // three and two
  EXPECT_FALSE(workers.next());
  EXPECT_FALSE(workers->spent(0));  // it still has them
  // Revoked elements do not count.
  workers.revoke(0, 2);
  workers.observe(0, workers.acknowledge(0));
  EXPECT_EQ(workers.next()->chunk.count, 2u);
  workers.answer(0, 5, 0);
  EXPECT_TRUE(workers->spent(0));
  workers.dies(0);
  workers.ready(0);
  EXPECT_FALSE(workers->spent(0));
  EXPECT_TRUE(workers.next());
}

// ---- balance

TEST_F(SchedulerTest, AnIdleWorkerGetsWhatWaitsBehindSomethingLong) {
  ready(1);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(workers_.next());
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1s, look_again));  // nobody is idle
  EXPECT_FALSE(look_again);

  workers_.ready(1, now_);
  EXPECT_FALSE(scheduler_.steal(now_, look_again));
  EXPECT_TRUE(look_again);  // but soon
  auto const wanted = scheduler_.steal(now_ + Scheduler::blocked_after, look_again);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->worker, 0u);
  EXPECT_EQ(wanted->elements, 3u);  // all but the one it works on
}

TEST_F(SchedulerTest, NothingIsStolenWhileElementsWait) {
  ready(2);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(workers_.next());
  scheduler_.add(make_chunk(make_task(1), 1));
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1s, look_again));
}

TEST_F(SchedulerTest, UrgentElementsPreemptThoseThatHaveNotBegun) {
  ready(2);
  know_cost(1'000);
  scheduler_.add(make_chunk(make_urgent(-3), 100'000));
  place();
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_, look_again));  // what waits is not more urgent
  EXPECT_FALSE(scheduler_.outranks(-3));
  EXPECT_TRUE(scheduler_.outranks(-2));

  // The first one has less ahead.
  auto const grain = static_cast<std::uint64_t>(Scheduler::grain_ns / 1'000);
  workers_.answer(0, grain / 2, grain / 2 * 1'000, now_);
  scheduler_.add(make_chunk(make_urgent(-2), 5));
  ASSERT_EQ(place(), Placed{});
  auto const wanted = scheduler_.steal(now_, look_again);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->worker, 1u);
  EXPECT_EQ(wanted->elements, 2 * grain - 1);  // all but the one it works on
  EXPECT_FALSE(look_again);

  // One for each urgent element.
  workers_.observe(1, workers_.revoke(1, 2 * grain - 1));
  auto const another = scheduler_.steal(now_, look_again);
  ASSERT_TRUE(another);
  EXPECT_EQ(another->worker, 0u);
  workers_.observe(1, workers_.acknowledge(1));
  EXPECT_FALSE(scheduler_.steal(now_, look_again));  // that takes more now
  EXPECT_EQ(place().front(), (std::array<std::uint64_t, 3>{1, 0, 5}));
}

TEST_F(SchedulerTest, NoMoreGiveWayThanThereIsUrgent) {
  ready(2);
  know_cost(1'000);
  scheduler_.add(make_chunk(make_task(), 100'000));
  place();
  bool look_again = false;
  scheduler_.add(make_chunk(make_urgent(1), 1));
  auto const wanted = scheduler_.steal(now_, look_again);
  ASSERT_TRUE(wanted);
  workers_.observe(wanted->worker, workers_.revoke(wanted->worker, wanted->elements));
  EXPECT_FALSE(scheduler_.steal(now_, look_again));
  scheduler_.add(make_chunk(make_urgent(1), 1));
  EXPECT_TRUE(scheduler_.steal(now_, look_again));
}

TEST_F(SchedulerTest, NothingPreemptsElementsThatAreThroughSoonOrHaveAKey) {
  ready(1);
  know_cost(1'000);
  auto const soon = static_cast<std::uint64_t>(Scheduler::backlog_ns / 1'000);
  bool look_again = false;
  scheduler_.add(make_chunk(make_task(), soon + soon / 2));
  while (workers_.next()) {
  }
  ASSERT_NE(scheduler_.waiting(), 0u);  // it has two chunks
  scheduler_.add(make_chunk(make_urgent(1), 1));
  EXPECT_FALSE(scheduler_.steal(now_, look_again));

  Workers keyed(1);
  keyed.ready(0, now_);
  keyed->add(make_chunk(make_task(), 1));
  ASSERT_TRUE(keyed.next());
  keyed.answer(0, 1, 1'000'000'000, now_);
  keyed->add(make_chunk(make_keyed(1), 2));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(keyed.next());
  }
  keyed->add(make_chunk(make_urgent(1), 1));
  ASSERT_FALSE(keyed.next());
  EXPECT_FALSE(keyed->steal(now_, look_again));
}

TEST_F(SchedulerTest, NothingIsUrgentAnyMoreWhenTheLessUrgentIsOver) {
  ready(1);
  EXPECT_FALSE(scheduler_.outranks(1'000'000));
  scheduler_.add(make_chunk(make_task(), 1));
  ASSERT_TRUE(workers_.next());
  EXPECT_TRUE(scheduler_.outranks(1));
  EXPECT_FALSE(scheduler_.outranks(0));
  workers_.answer(0, 1, 1'000, now_);
  bool look_again = false;
  scheduler_.steal(now_, look_again);
  EXPECT_FALSE(scheduler_.outranks(1));
}

TEST_F(SchedulerTest, ASingleElementIsNeverStolen) {
  ready(2);
  scheduler_.add(make_chunk(make_task(1), 1));
  ASSERT_TRUE(workers_.next());
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1h, look_again));
  EXPECT_FALSE(look_again);
}

TEST_F(SchedulerTest, AWorkerGetsNothingUntilItHasAcknowledgedARevocation) {
  ready(1);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(workers_.next());
  workers_.observe(0, workers_.revoke(0, 3));
  EXPECT_EQ(scheduler_.held(0), 1u);
  scheduler_.add(make_chunk(make_task(1), 1));
  EXPECT_FALSE(workers_.next());
  workers_.observe(0, workers_.acknowledge(0));
  EXPECT_TRUE(workers_.next());
}

TEST_F(SchedulerTest, AWorkerThatLeavesKeepsWhatItHasAndGetsNothing) {
  ready(1);
  scheduler_.add(make_chunk(make_task(1), 2));
  ASSERT_TRUE(workers_.next());
  scheduler_.worker_leaves(0);
  EXPECT_FALSE(workers_.next());
  EXPECT_EQ(scheduler_.held(0), 1u);
  workers_.dies(0);
  EXPECT_EQ(scheduler_.held(0), 0u);
}

// ---- keys

TEST_F(SchedulerTest, KeysAreSpreadAndStayWhereTheyAre) {
  ready(4);
  std::vector<std::size_t> workers;
  for (int round = 0; round < 2; ++round) {
    for (int key = 0; key < 4; ++key) {
      scheduler_.add(make_chunk(make_keyed(key), 1));
      auto const assignment = workers_.next();
      ASSERT_TRUE(assignment);
      workers.push_back(assignment->worker);
      workers_.answer(assignment->worker, 1, 10, now_);
    }
  }
  EXPECT_EQ(workers, (std::vector<std::size_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST_F(SchedulerTest, KeysThatAreWorkersNameTheirWorker) {
  Workers own(4, 1, std::numeric_limits<std::uint64_t>::max(), Scheduler::Keys::are_workers);
  for (std::size_t const worker : {2, 0, 3}) own->add(make_chunk(make_keyed(worker), 1));
  EXPECT_TRUE(own->awaited(2));
  EXPECT_FALSE(own->awaited(1));
  for (std::size_t const worker : {3, 1, 2}) own.ready(worker, now_);
  std::vector<std::size_t> got;
  while (auto const next = own.next()) got.push_back(next->worker);
  std::ranges::sort(got);
  EXPECT_EQ(got, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(own->waiting(), 1u);
  EXPECT_TRUE(own->awaited(0));
}

TEST_F(SchedulerTest, WhatWaitsForOneWorkerIsRemovedAlone) {
  Workers own(2, 1, std::numeric_limits<std::uint64_t>::max(), Scheduler::Keys::are_workers);
  auto const first = make_keyed(0);
  own->add(make_chunk(first, 1));
  own->add(make_chunk(make_keyed(1), 1));
  own->requeue(make_chunk(first, 1, 1));
  Chunks const removed = own->remove_own(0);
  ASSERT_EQ(removed.size(), 2u);
  for (Chunk const& chunk : removed) EXPECT_EQ(chunk.task, first);
  EXPECT_EQ(own->waiting(), 1u);
  EXPECT_FALSE(own->awaited(0));
  EXPECT_TRUE(own->awaited(1));
  own.ready(0, now_);
  EXPECT_FALSE(own.next());
}

TEST_F(SchedulerTest, KeysWaitForTheirPlaceWhoeverWorksThere) {
  workers_.ready(1, now_);
  scheduler_.add(make_chunk(make_keyed(7), 2));
  EXPECT_EQ(place(), (Placed{{1, 0, 1}, {1, 1, 1}}));  // bound to the one that is there
  workers_.dies(1);
  workers_.ready(0, now_);
  scheduler_.add(make_chunk(make_keyed(7), 1));
  EXPECT_EQ(place(), Placed{});
  EXPECT_TRUE(scheduler_.awaited(1));
  EXPECT_FALSE(scheduler_.awaited(0));
  EXPECT_FALSE(scheduler_.idle_since(1));
  workers_.ready(1, now_);
  EXPECT_EQ(place(), (Placed{{1, 0, 1}}));
}

TEST_F(SchedulerTest, KeysOfRemovedPlacesAreBoundAnew) {
  workers_.ready(3, now_);
  scheduler_.add(make_chunk(make_keyed(7), 1));
  EXPECT_EQ(place(), (Placed{{3, 0, 1}}));
  scheduler_.worker_leaves(3);
  scheduler_.add(make_chunk(make_keyed(7), 2));
  scheduler_.resize(2);
  workers_.ready(0, now_);
  workers_.ready(1, now_);
  EXPECT_EQ(scheduler_.waiting(), 2u);
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {0, 1, 1}}));
}

TEST_F(SchedulerTest, KeysOfWorkersThatNobodyReplacesAreBoundAnew) {
  ready(3);
  for (int key = 0; key < 3; ++key) scheduler_.add(make_chunk(make_keyed(key), 1));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {1, 0, 1}, {2, 0, 1}}));
  workers_.answer(0, 1, 10, now_);
  workers_.dies(0);
  scheduler_.worker_leaves(1);
  for (int key = 0; key < 3; ++key) scheduler_.add(make_chunk(make_keyed(key), 2));
  workers_.answer(2, 1, 10, now_);
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  workers_.answer(2, 2, 10, now_);
  scheduler_.count_on_ready_ones();
  // Not those of the one that still has an element of its key.
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  EXPECT_TRUE(scheduler_.awaited(1));
  workers_.answer(2, 2, 10, now_);
  workers_.dies(1);
  scheduler_.count_on_ready_ones();
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  // And new ones, as long as nobody comes.
  workers_.answer(2, 2, 10, now_);
  scheduler_.add(make_chunk(make_keyed(8), 1));
  EXPECT_EQ(place(), (Placed{{2, 0, 1}}));
  workers_.ready(0, now_);
  scheduler_.add(make_chunk(make_keyed(9), 1));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}}));
}

// Two threads must not change their order on the way to the worker.
TEST_F(SchedulerTest, OneGroupWithAKeyIsOnItsWayAtATime) {
  ready(1);
  scheduler_.add(make_chunk(make_keyed(1), 1));
  scheduler_.add(make_chunk(make_keyed(1), 1));
  auto first = workers_.take();
  ASSERT_TRUE(first);
  EXPECT_FALSE(workers_.take());
  scheduler_.add(make_chunk(make_task(1), 1));
  EXPECT_TRUE(workers_.take());  // what has no key may
  workers_.observe(0, workers_.refuse(0, first->chunks[0]));
  workers_.make_room(0);
  EXPECT_FALSE(workers_.take()) << "the first one is still in the thread's hands";
  EXPECT_TRUE(scheduler_.is_on_its_way(0));
  workers_.requeue(0, std::move(first->chunks[0]));
  EXPECT_TRUE(workers_.take());
  EXPECT_FALSE(workers_.take());
}

// Nor on the way back.
TEST_F(SchedulerTest, ElementsWithAKeyThatWereRevokedKeepTheirOrder) {
  ready(1);
  auto const task = make_keyed(1);
  scheduler_.add(make_chunk(task, 1, 0));
  scheduler_.add(make_chunk(task, 1, 1));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {0, 1, 1}}));
  scheduler_.add(make_chunk(task, 1, 2));
  workers_.revoke(0, 1);
  workers_.observe(0, workers_.acknowledge(0));
  EXPECT_EQ(place(), Placed{}) << "the second one is not back yet";
  Chunk second = make_chunk(task, 1, 1);
  second.order = 2;
  workers_.requeue(0, std::move(second));
  auto const group = workers_.take();
  ASSERT_TRUE(group);
  EXPECT_EQ(group->keyed, 1u) << "it goes if no more have come back by then";
  EXPECT_EQ(group->chunks[0].first, 1u);
  workers_.put(0, group->chunks[0]);
  workers_.observe(0, workers_.load(0));
  workers_.answer(0, 2, 10, now_);
  EXPECT_EQ(place(), (Placed{{0, 2, 1}}));
}

// Threads may bring them back in any order.
TEST_F(SchedulerTest, ElementsWithAKeyThatComeBackKeepTheirOrder) {
  auto const task = make_keyed(1);
  for (std::uint64_t const first : {3, 4, 0, 2, 1, 5}) {
    Chunk chunk = make_chunk(task, 1, first);
    chunk.order = 1 + first / 2;  // two that were once one
    scheduler_.requeue(std::move(chunk));
  }
  ready(1);
  know_cost(100);
  auto const group = workers_.take();
  ASSERT_TRUE(group);
  ASSERT_EQ(group->chunks.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(group->chunks[i].first, i);
}

TEST_F(SchedulerTest, WhatIsHandedOverGoesByItsAge) {
  for (std::size_t const worker : {2, 3}) workers_.ready(worker, now_);
  for (int key = 0; key < 2; ++key) scheduler_.add(make_chunk(make_keyed(key), 1));
  EXPECT_EQ(place(), (Placed{{2, 0, 1}, {3, 0, 1}}));
  for (std::size_t const worker : {2, 3}) scheduler_.worker_leaves(worker);
  for (std::uint64_t i = 0; i < 8; ++i) {
    scheduler_.add(make_chunk(make_keyed(static_cast<int>(i) % 2), 1, i));
  }
  scheduler_.resize(1);
  scheduler_.measure(measured_code, 1, 100);
  workers_.ready(0, now_);
  auto const group = workers_.take();
  ASSERT_TRUE(group);
  ASSERT_EQ(group->chunks.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(group->chunks[i].first, i);
}

TEST_F(SchedulerTest, KeysStayWithAWorkerThatIsGoneUntilItsElementsAreBack) {
  ready(2);
  auto const task = make_keyed(1);
  scheduler_.add(make_chunk(task, 1, 0));
  scheduler_.add(make_chunk(task, 1, 1));
  auto group = workers_.take();
  workers_.observe(0, workers_.refuse(0, group->chunks[0]));
  workers_.dies(0);
  scheduler_.count_on_ready_ones();
  EXPECT_EQ(place(), Placed{});
  workers_.requeue(0, std::move(group->chunks[0]));
  scheduler_.count_on_ready_ones();
  EXPECT_EQ(place(), (Placed{{1, 0, 1}, {1, 1, 1}}));
}

TEST_F(SchedulerTest, ElementsWithKeysAreNotStolen) {
  ready(2);
  scheduler_.add(make_chunk(make_keyed(1), 2));
  EXPECT_EQ(place().size(), 2u);
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1s, look_again));
  EXPECT_FALSE(look_again);
}

TEST_F(SchedulerTest, RemovesWhatWaitsForOneWorkerToo) {
  auto const task = make_keyed(1);
  scheduler_.add(make_chunk(task, 5));
  scheduler_.add(make_chunk(make_keyed(2), 3));
  EXPECT_EQ(scheduler_.remove(*task, 2).size(), 1u);
  EXPECT_EQ(scheduler_.waiting(), 5u);
  EXPECT_EQ(scheduler_.remove_all().size(), 2u);
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

// ---- lives

TEST_F(SchedulerTest, FirstLivesAreOfDifferentLengths) {
  Workers workers(4, 100);
  std::vector<std::uint64_t> given(4);
  for (int life = 0; life < 2; ++life) {
    for (std::size_t worker = 0; worker < 4; ++worker) {
      workers.ready(worker, now_);
      std::uint64_t elements = 0;
      workers->add(make_chunk(make_task(1000), 1000));
      while (auto const next = workers.next()) {
        elements += next->chunk.count;
        workers.answer(worker, next->chunk.count, 10, now_);
      }
      EXPECT_TRUE(workers->spent(worker));
      workers->remove_all();
      workers.dies(worker);
      if (life == 0) {
        given[worker] = elements;
        EXPECT_LE(elements, 100u);
        EXPECT_GE(elements, 50u);
      } else {
        EXPECT_EQ(elements, 100u);
      }
    }
  }
  std::ranges::sort(given);
  EXPECT_EQ(std::ranges::adjacent_find(given), given.end());
}

TEST_F(SchedulerTest, KnowsSinceWhenAWorkerIsIdle) {
  ready(1);
  EXPECT_EQ(scheduler_.idle_since(0), now_);
  EXPECT_FALSE(scheduler_.idle_since(1));  // nobody there
  scheduler_.add(make_chunk(make_task(1), 1));
  ASSERT_TRUE(workers_.next());
  EXPECT_FALSE(scheduler_.idle_since(0));
  workers_.answer(0, 1, 10, now_ + 3s);
  EXPECT_EQ(scheduler_.idle_since(0), now_ + 3s);
}

// The worker may have acknowledged, and another thread may have observed that, before the thread that
// revoked observes anything.
TEST_F(SchedulerTest, ARevocationThatIsOverBeforeItsBeginIsObservedIsOver) {
  ready(1);
  for (int i = 0; i < 3; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(workers_.next()) << i;
    Load const begun = workers_.revoke(0, 1);
    workers_.observe(0, workers_.acknowledge(0));
    workers_.observe(0, begun);
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_TRUE(workers_.next());
  workers_.observe(0, workers_.revoke(0, 1));
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(workers_.next()) << "this one is not over";
  // It is with its worker.
  workers_.acknowledge(0);
  workers_.dies(0);
  ready(1);
  EXPECT_TRUE(workers_.next());
}

// ---- several at once

TEST_F(SchedulerTest, ShortElementsGoSeveralAtATime) {
  ready(1);
  know_cost(100);
  for (int i = 0; i < 3; ++i) scheduler_.add(make_chunk(make_task(), 1));
  auto const group = workers_.next();
  ASSERT_TRUE(group);
  EXPECT_EQ(group->chunks, 3u);
  EXPECT_EQ(scheduler_.held(0), 3u);
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

TEST_F(SchedulerTest, OthersGoByThemselves) {
  ready(1);
  for (int i = 0; i < 3; ++i) scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(workers_.next()->chunks, 1u) << "of an unknown cost";
  workers_.answer(0, 1, 50'000, now_);
  EXPECT_EQ(workers_.next()->chunks, 1u) << "that take their time";
}

TEST_F(SchedulerTest, WhatIsOfSeveralElementsOrLargeGoesByItself) {
  ready(1);
  know_cost(100);
  for (std::uint64_t const count : {std::uint64_t{2}, std::uint64_t{300}}) {
    scheduler_.add(make_chunk(make_task(), 1));
    scheduler_.add(make_chunk(make_task(), count));
    EXPECT_EQ(workers_.next()->chunks, 1u) << count;
    scheduler_.remove_all();
  }
  detail::InputBuffer large{0, 1, detail::Bytes(300), {}};
  scheduler_.add(make_chunk(make_task(), 1));
  scheduler_.add({make_task(), std::make_shared<SharedInput>(std::move(large), 300), 0, 1});
  EXPECT_EQ(workers_.next()->chunks, 1u);
}

TEST_F(SchedulerTest, AGroupIsForOneWorker) {
  ready(2);
  know_cost(9'000);
  for (int i = 0; i < 8; ++i) scheduler_.add(make_chunk(make_task(), 1));
  std::vector<std::size_t> chunks(4);
  std::size_t first = 0;
  while (auto const group = workers_.next()) {
    if (first == 0) first = group->chunks;
    chunks[group->worker] += group->chunks;
  }
  // Three go to the first worker, which is through before the other one is awake. Then each in turn.
  EXPECT_EQ(first, 3u);
  EXPECT_EQ(chunks, (std::vector<std::size_t>{4, 4, 0, 0}));
}

TEST_F(SchedulerTest, ShortElementsWaitForCompanyBehindMany) {
  ready(1);
  know_cost(100);
  EXPECT_FALSE(workers_.next(waits)) << "nothing waits";
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(workers_.next(waits)) << i;
  }
  while (scheduler_.waiting() < Scheduler::max_coalesced - 1) {
    scheduler_.add(make_chunk(make_task(), 1));
    EXPECT_FALSE(workers_.next(waits)) << scheduler_.waiting();
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(workers_.next(waits)->chunks, Scheduler::max_coalesced);
}

TEST_F(SchedulerTest, WhatWaitsForCompanyGoesOnceTheWorkerIsThroughOrTheCallerDoesNotWait) {
  ready(1);
  know_cost(100);
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(workers_.next(waits));
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(workers_.next(waits));
  workers_.answer(0, 1, 100, now_);
  EXPECT_TRUE(workers_.next(waits));
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(workers_.next(waits));
  EXPECT_TRUE(workers_.next(goes));
}

// ---- several with a key

TEST_F(SchedulerTest, ShortElementsWithAKeyGoSeveralAtATime) {
  ready(2);
  know_cost(100);
  for (int i = 0; i < 40; ++i) scheduler_.add(make_chunk(make_keyed(7), 1));
  auto const group = workers_.next();
  ASSERT_TRUE(group);
  EXPECT_EQ(group->chunks, Scheduler::max_coalesced);
  EXPECT_EQ(workers_.next()->chunks, 8u);
  EXPECT_EQ(scheduler_.held(group->worker), 40u);
}

TEST_F(SchedulerTest, OfSeveralKeysTheyGoByTheirAge) {
  Workers one(1);
  one.ready(0, now_);
  one->measure(measured_code, 1, 100);
  for (std::uint64_t i = 0; i < 6; ++i) {
    auto const task = i % 3 == 2 ? make_task() : make_keyed(static_cast<int>(i) % 3);
    one->add(make_chunk(task, 1, i));
  }
  auto const group = one.take();
  ASSERT_TRUE(group);
  EXPECT_TRUE(group->keyed);
  ASSERT_EQ(group->chunks.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(group->chunks[i].first, i);
}

TEST_F(SchedulerTest, WhatIsMoreUrgentGoesAheadInAGroup) {
  ready(1);
  know_cost(100);
  scheduler_.add(make_chunk(make_keyed(1), 1, 1));
  scheduler_.add(make_chunk(make_urgent(3), 1, 0));
  auto const group = workers_.take();
  ASSERT_TRUE(group);
  ASSERT_EQ(group->chunks.size(), 2u);
  EXPECT_EQ(group->chunks[0].first, 0u);
  EXPECT_EQ(group->chunks[1].first, 1u);
}

TEST_F(SchedulerTest, LongElementsWithAKeyGoOneByOne) {
  ready(1);
  know_cost(100'000);
  for (int i = 0; i < 5; ++i) scheduler_.add(make_chunk(make_keyed(1), 1));
  EXPECT_EQ(workers_.next()->chunks, 1u);
  // And no worker gets more of them than lasts until its next outcome.
  EXPECT_EQ(place().size(), 2u);
}

TEST_F(SchedulerTest, AGroupWithAKeyIsNoMoreThanTheWorkerHasTimeFor) {
  ready(1);
  know_cost(10'000);
  for (int i = 0; i < 200; ++i) scheduler_.add(make_chunk(make_keyed(1), 1));
  while (workers_.next()) {
  }
  EXPECT_EQ(scheduler_.held(0), Scheduler::backlog_ns / 10'000);
}

// More workers are of no use to them.
TEST_F(SchedulerTest, ElementsWithAKeyGoAheadWhileMoreWorkersAreExpected) {
  ready(1);
  scheduler_.expect_more(true);
  for (std::uint64_t i = 0; i < 3; ++i) scheduler_.add(make_chunk(make_keyed(1), 1, i));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {0, 1, 1}}));
}

TEST_F(SchedulerTest, ShortElementsWithAKeyWaitForCompanyBehindMany) {
  ready(2);
  know_cost(100);
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_keyed(1), 1));
    ASSERT_TRUE(workers_.next(waits)) << i;
  }
  while (scheduler_.waiting() < Scheduler::max_coalesced - 1) {
    scheduler_.add(make_chunk(make_keyed(1), 1));
    EXPECT_FALSE(workers_.next(waits)) << scheduler_.waiting();
  }
  // Nobody else waits for that.
  scheduler_.add(make_chunk(make_keyed(2), 1, 2));
  auto const other = workers_.next(waits);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->chunk.first, 2u);
  scheduler_.add(make_chunk(make_task(), 1, 3));
  EXPECT_EQ(workers_.next(waits)->chunk.first, 3u);
  scheduler_.add(make_chunk(make_keyed(2), 1, 4));
  EXPECT_EQ(workers_.next(waits)->chunk.first, 4u) << "nor behind a few";
  scheduler_.add(make_chunk(make_keyed(1), 1));
  EXPECT_EQ(workers_.next(waits)->chunks, Scheduler::max_coalesced);
}

// The dispatcher would be woken for each of them.
TEST_F(SchedulerTest, WhatWaitsForAWorkerThatIsThereNeedsNoOther) {
  EXPECT_FALSE(scheduler_.waits_for_more_workers());
  workers_.ready(0, now_);
  know_cost(100);
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_keyed(1), 1));
    ASSERT_TRUE(workers_.next(waits));
  }
  scheduler_.add(make_chunk(make_keyed(1), 1));
  EXPECT_FALSE(workers_.next(waits));
  EXPECT_FALSE(scheduler_.waits_for_more_workers());
  scheduler_.add(make_chunk(make_keyed(2), 1));
  EXPECT_TRUE(scheduler_.waits_for_more_workers());
  workers_.ready(1, now_);
  EXPECT_FALSE(scheduler_.waits_for_more_workers());
  scheduler_.worker_leaves(1);
  EXPECT_TRUE(scheduler_.waits_for_more_workers());
  scheduler_.remove_all();
  EXPECT_FALSE(scheduler_.waits_for_more_workers());
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_TRUE(scheduler_.waits_for_more_workers());
}

TEST_F(SchedulerTest, AKeyDoesNotWaitForTheCompanyOfOthers) {
  ready(1);
  know_cost(100);
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(workers_.next(waits));
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(workers_.next(waits));
  workers_.ready(1, now_);
  scheduler_.add(make_chunk(make_keyed(1), 1, 9));  // bound to the idle one
  auto const keyed = workers_.next(waits);
  ASSERT_TRUE(keyed);
  EXPECT_EQ(keyed->worker, 1u);
  EXPECT_EQ(keyed->chunk.first, 9u);
  EXPECT_EQ(keyed->chunks, 1u);
}

TEST_F(SchedulerTest, KeysDoNotKeepOthersFromGoingTogether) {
  ready(2);
  know_cost(100);
  scheduler_.add(make_chunk(make_keyed(1), 1));
  ASSERT_TRUE(workers_.next());
  for (int i = 0; i < 5; ++i) scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(workers_.next()->chunks, 5u);
}

}  // namespace
}  // namespace procpool::parent
