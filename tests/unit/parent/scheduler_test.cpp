// The scheduler's rules, without processes or clocks: time is what the test says.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "parent/scheduler.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using TimePoint = Scheduler::TimePoint;

void trampoline(detail::Operation&) {}

std::shared_ptr<detail::Task> make_task(std::size_t chunk = 0) {
  detail::Function function;
  function.code = trampoline;
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

class SchedulerTest : public testing::Test {
 protected:
  void ready(std::size_t workers) {
    for (std::size_t i = 0; i < workers; ++i) scheduler_.worker_ready(i, now_);
  }
  // Everything that is placed now, as (worker, first, count).
  std::vector<std::array<std::uint64_t, 3>> place() {
    std::vector<std::array<std::uint64_t, 3>> placed;
    while (auto a = scheduler_.next()) {
      placed.push_back({a->worker, a->chunk.first, a->chunk.count});
      scheduler_.placed(a->worker);
    }
    return placed;
  }
  // One element ran, and took so long.
  void know_cost(double nanoseconds) {
    scheduler_.add(make_chunk(make_task(), 1));
    auto const probe = scheduler_.next();
    scheduler_.finished(probe->worker, trampoline, 1, 1, static_cast<std::uint64_t>(nanoseconds),
                        now_);
  }
  using Placed = std::vector<std::array<std::uint64_t, 3>>;

  TimePoint now_{1s};
  Scheduler scheduler_{4};
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

TEST_F(SchedulerTest, NobodyGetsASecondPortionWhileMoreWorkersAreExpected) {
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
  EXPECT_EQ(scheduler_.next()->chunk.task, first);
  EXPECT_EQ(scheduler_.next()->chunk.task, second);
}

TEST_F(SchedulerTest, WhatWasGivenBackGoesAheadOfEverything) {
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
  scheduler_.finished(0, trampoline, 7, 1, 0, now_);
  EXPECT_EQ(place(), (Placed{{0, 14, 1}}));
}

TEST_F(SchedulerTest, PortionsFollowTheMeasuredCostAndShrinkTowardsTheEnd) {
  ready(1);
  auto const task = make_task();
  scheduler_.add(make_chunk(task, 100'001));
  auto const probe = scheduler_.next();
  ASSERT_EQ(probe->chunk.count, 1u);
  scheduler_.finished(0, trampoline, 1, 1, 1000, now_);  // 1 us each
  std::uint64_t const by_time = static_cast<std::uint64_t>(Scheduler::grain_ns / 1000);
  auto const steady = scheduler_.next();
  EXPECT_EQ(steady->chunk.count, by_time);
  // Near the end half of what is left, down to what is worth its way.
  scheduler_.finished(0, trampoline, by_time, 1, by_time * 1000, now_);
  std::uint64_t const least = static_cast<std::uint64_t>(Scheduler::min_grain_ns / 1000);
  std::uint64_t last = by_time;
  while (scheduler_.waiting() != 0) {
    auto const next = scheduler_.next();
    ASSERT_TRUE(next);
    EXPECT_LE(next->chunk.count, last);
    EXPECT_LE(next->chunk.count, by_time);
    if (scheduler_.waiting() != 0) {
      EXPECT_GE(next->chunk.count, least);
    }
    last = next->chunk.count;
    scheduler_.finished(0, trampoline, last, 1, last * 1000, now_);
  }
  EXPECT_LE(last, least);
}

TEST_F(SchedulerTest, PortionsAreWorthTheirWay) {
  ready(2);
  know_cost(10);
  scheduler_.add(make_chunk(make_task(), 100'000));
  std::uint64_t const least = static_cast<std::uint64_t>(Scheduler::min_grain_ns / 10);
  while (scheduler_.waiting() != 0) {
    auto const next = scheduler_.next();
    ASSERT_TRUE(next);
    EXPECT_GE(next->chunk.count + scheduler_.waiting(), std::min(least, next->chunk.count));
    if (scheduler_.waiting() != 0) {
      EXPECT_GE(next->chunk.count, least);
    }
    scheduler_.finished(next->worker, trampoline, next->chunk.count, 1, 0, now_);
  }
}

TEST_F(SchedulerTest, PortionsHaveNoMoreBytesThanTheyMay) {
  Scheduler scheduler(1, std::numeric_limits<std::uint64_t>::max(), 16);
  scheduler.worker_ready(0, now_);
  auto const task = make_task();  // a byte each
  scheduler.add(make_chunk(task, 1000));
  ASSERT_EQ(scheduler.next()->chunk.count, 1u);
  scheduler.finished(0, trampoline, 1, 1, 10, now_);
  EXPECT_EQ(scheduler.next()->chunk.count, 16u);
}

TEST_F(SchedulerTest, ShortChunksSetByHandGoTogether) {
  ready(1);
  know_cost(100);
  scheduler_.add(make_chunk(make_task(7), 10'000));
  auto const several = scheduler_.next();
  std::uint64_t const most = static_cast<std::uint64_t>(Scheduler::several_chunks_ns / 100);
  EXPECT_EQ(several->chunk.count % 7, 0u);
  EXPECT_GT(several->chunk.count, 7u);
  EXPECT_LE(several->chunk.count, most);
}

TEST_F(SchedulerTest, LongChunksSetByHandGoOneByOne) {
  ready(1);
  know_cost(Scheduler::several_chunks_ns);
  scheduler_.add(make_chunk(make_task(7), 10'000));
  EXPECT_EQ(scheduler_.next()->chunk.count, 7u);
}

TEST_F(SchedulerTest, NoIdleWorkerIsWokenForWhatAnotherHasDoneBefore) {
  ready(2);
  know_cost(1000);
  for (int i = 0; i < 100; ++i) scheduler_.add(make_chunk(make_task(), 1));
  std::uint64_t first = 0;
  while (scheduler_.next()->worker == 0) ++first;
  EXPECT_EQ(first, static_cast<std::uint64_t>(Scheduler::worth_waking_ns / 1000) - 1);
}

TEST_F(SchedulerTest, WhatTakesItsTimeGoesToAnIdleWorker) {
  ready(2);
  know_cost(Scheduler::worth_waking_ns);
  scheduler_.add(make_chunk(make_task(), 1));
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(scheduler_.next()->worker, 0u);
  EXPECT_EQ(scheduler_.next()->worker, 1u);
}

TEST_F(SchedulerTest, AMeasurementOfManyElementsOutweighsTheFirst) {
  ready(1);
  know_cost(20'000);
  scheduler_.add(make_chunk(make_task(), 1000));
  auto const next = scheduler_.next();
  scheduler_.finished(0, trampoline, next->chunk.count, 1, next->chunk.count * 10, now_);
  scheduler_.finished(0, trampoline, 1000, 0, 1000 * 10, now_);
  EXPECT_LT(scheduler_.cost(trampoline), 100);
}

TEST_F(SchedulerTest, AWorkerThatRefusedGetsNothingUntilItHasFinishedSomething) {
  ready(1);
  auto const task = make_task(1);
  scheduler_.add(make_chunk(task, 3));
  auto first = scheduler_.next();
  auto second = scheduler_.next();
  ASSERT_TRUE(second);
  scheduler_.refused(second->worker, second->chunk);
  scheduler_.requeue(std::move(second->chunk));
  EXPECT_EQ(scheduler_.waiting(), 2u);
  EXPECT_FALSE(scheduler_.next());
  scheduler_.finished(0, trampoline, 1, 1, 0, now_);
  EXPECT_EQ(scheduler_.next()->chunk.first, 1u);
}

TEST_F(SchedulerTest, AWorkerThatRefusedWithNothingInHandIsTriedAgainOnRetry) {
  ready(1);
  scheduler_.add(make_chunk(make_task(1), 1));
  auto refused = scheduler_.next();
  scheduler_.refused(refused->worker, refused->chunk);
  scheduler_.requeue(std::move(refused->chunk));
  EXPECT_FALSE(scheduler_.next());
  scheduler_.retry();
  EXPECT_TRUE(scheduler_.next());
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
  while (auto const next = scheduler_.next()) {
    order.push_back(next->chunk.task->id());
    scheduler_.finished(next->worker, nullptr, 1, 1, 0, now_);
  }
  EXPECT_EQ(order, (std::vector{tasks[1]->id(), tasks[3]->id(), tasks[0]->id(), tasks[4]->id(),
                                tasks[2]->id()}));
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

TEST(SchedulerQuota, AWorkerIsGivenNoMoreThanItMayBe) {
  Scheduler scheduler(1, 5);
  scheduler.worker_ready(0, {});
  scheduler.add(make_chunk(make_task(3), 12));
  std::uint64_t given = 0;
  for (int i = 0; i < 2; ++i) given += scheduler.next()->chunk.count;
  EXPECT_EQ(given, 5u);  // three and two
  EXPECT_FALSE(scheduler.next());
  EXPECT_FALSE(scheduler.spent(0));  // it still has them
  // What comes back does not count.
  scheduler.revoked(0, 2, 1, 1);
  scheduler.revocation_done(0, 1);
  EXPECT_EQ(scheduler.next()->chunk.count, 2u);
  scheduler.finished(0, nullptr, 5, 2, 0, {});
  EXPECT_TRUE(scheduler.spent(0));
  scheduler.worker_gone(0);
  scheduler.worker_ready(0, {});
  EXPECT_FALSE(scheduler.spent(0));
  EXPECT_TRUE(scheduler.next());
}

// ---- balance

TEST_F(SchedulerTest, AnIdleWorkerGetsWhatWaitsBehindSomethingLong) {
  ready(1);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(scheduler_.next());
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1s, look_again));  // nobody is idle
  EXPECT_FALSE(look_again);

  scheduler_.worker_ready(1, now_);
  EXPECT_FALSE(scheduler_.steal(now_, look_again));
  EXPECT_TRUE(look_again);  // but soon
  auto const wanted = scheduler_.steal(now_ + Scheduler::blocked_after, look_again);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->worker, 0u);
  EXPECT_EQ(wanted->elements, 3u);  // all but the one it works on
}

TEST_F(SchedulerTest, NothingIsTakenWhileElementsWait) {
  ready(2);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(scheduler_.next());
  scheduler_.add(make_chunk(make_task(1), 1));
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1s, look_again));
}

TEST_F(SchedulerTest, WhatIsUrgentOvertakesWhatHasNotBegun) {
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
  scheduler_.finished(0, trampoline, grain / 2, 0, grain / 2 * 1'000, now_);
  scheduler_.add(make_chunk(make_urgent(-2), 5));
  ASSERT_EQ(place(), Placed{});
  auto const wanted = scheduler_.steal(now_, look_again);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->worker, 1u);
  EXPECT_EQ(wanted->elements, 2 * grain - 1);  // all but the one it works on
  EXPECT_FALSE(look_again);

  // One for each urgent element.
  scheduler_.revoked(1, 2 * grain - 1, 1, 1);
  auto const another = scheduler_.steal(now_, look_again);
  ASSERT_TRUE(another);
  EXPECT_EQ(another->worker, 0u);
  scheduler_.revocation_done(1, 1);
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
  scheduler_.revoked(wanted->worker, wanted->elements, 1, 1);
  EXPECT_FALSE(scheduler_.steal(now_, look_again));
  scheduler_.add(make_chunk(make_urgent(1), 1));
  EXPECT_TRUE(scheduler_.steal(now_, look_again));
}

TEST_F(SchedulerTest, NothingOvertakesWhatIsThroughSoonOrHasAKey) {
  ready(1);
  know_cost(1'000);
  auto const soon = static_cast<std::uint64_t>(Scheduler::backlog_ns / 1'000);
  bool look_again = false;
  scheduler_.add(make_chunk(make_task(), soon + soon / 2));
  while (scheduler_.next()) {
  }
  ASSERT_NE(scheduler_.waiting(), 0u);  // it has two portions
  scheduler_.add(make_chunk(make_urgent(1), 1));
  EXPECT_FALSE(scheduler_.steal(now_, look_again));

  Scheduler keyed(1);
  keyed.worker_ready(0, now_);
  keyed.add(make_chunk(make_task(), 1));
  ASSERT_TRUE(keyed.next());
  keyed.finished(0, trampoline, 1, 1, 1'000'000'000, now_);
  keyed.add(make_chunk(make_keyed(1), 2));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(keyed.next());
    keyed.placed(0);
  }
  keyed.add(make_chunk(make_urgent(1), 1));
  ASSERT_FALSE(keyed.next());
  EXPECT_FALSE(keyed.steal(now_, look_again));
}

TEST_F(SchedulerTest, NothingIsUrgentAnyMoreWhenTheLessUrgentIsOver) {
  ready(1);
  EXPECT_FALSE(scheduler_.outranks(1'000'000));
  scheduler_.add(make_chunk(make_task(), 1));
  ASSERT_TRUE(scheduler_.next());
  EXPECT_TRUE(scheduler_.outranks(1));
  EXPECT_FALSE(scheduler_.outranks(0));
  scheduler_.finished(0, trampoline, 1, 1, 1'000, now_);
  bool look_again = false;
  scheduler_.steal(now_, look_again);
  EXPECT_FALSE(scheduler_.outranks(1));
}

TEST_F(SchedulerTest, ASingleElementIsNeverTaken) {
  ready(2);
  scheduler_.add(make_chunk(make_task(1), 1));
  ASSERT_TRUE(scheduler_.next());
  bool look_again = false;
  EXPECT_FALSE(scheduler_.steal(now_ + 1h, look_again));
  EXPECT_FALSE(look_again);
}

TEST_F(SchedulerTest, AWorkerThatGivesUpElementsGetsNoneUntilItHasSettled) {
  ready(1);
  scheduler_.add(make_chunk(make_task(4), 4));
  ASSERT_TRUE(scheduler_.next());
  scheduler_.revoked(0, 3, 0, 1);
  EXPECT_EQ(scheduler_.held(0), 1u);
  scheduler_.add(make_chunk(make_task(1), 1));
  EXPECT_FALSE(scheduler_.next());
  scheduler_.revocation_done(0, 1);
  EXPECT_TRUE(scheduler_.next());
}

TEST_F(SchedulerTest, AWorkerThatLeavesKeepsWhatItHasAndGetsNothing) {
  ready(1);
  scheduler_.add(make_chunk(make_task(1), 2));
  ASSERT_TRUE(scheduler_.next());
  scheduler_.worker_leaves(0);
  EXPECT_FALSE(scheduler_.next());
  EXPECT_EQ(scheduler_.held(0), 1u);
  scheduler_.worker_gone(0);
  EXPECT_EQ(scheduler_.held(0), 0u);
}

// ---- keys

TEST_F(SchedulerTest, KeysAreSpreadAndStayWhereTheyAre) {
  ready(4);
  std::vector<std::size_t> workers;
  for (int round = 0; round < 2; ++round) {
    for (int key = 0; key < 4; ++key) {
      scheduler_.add(make_chunk(make_keyed(key), 1));
      auto const assignment = scheduler_.next();
      ASSERT_TRUE(assignment);
      workers.push_back(assignment->worker);
      scheduler_.placed(assignment->worker);
      scheduler_.finished(assignment->worker, trampoline, 1, 1, 10, now_);
    }
  }
  EXPECT_EQ(workers, (std::vector<std::size_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST_F(SchedulerTest, KeysWaitForTheirPlaceWhoeverWorksThere) {
  scheduler_.worker_ready(1, now_);
  scheduler_.add(make_chunk(make_keyed(7), 2));
  EXPECT_EQ(place(), (Placed{{1, 0, 1}, {1, 1, 1}}));  // bound to the one that is there
  scheduler_.worker_gone(1);
  scheduler_.worker_ready(0, now_);
  scheduler_.add(make_chunk(make_keyed(7), 1));
  EXPECT_EQ(place(), Placed{});
  EXPECT_TRUE(scheduler_.awaited(1));
  EXPECT_FALSE(scheduler_.awaited(0));
  EXPECT_FALSE(scheduler_.idle_since(1));
  scheduler_.worker_ready(1, now_);
  EXPECT_EQ(place(), (Placed{{1, 0, 1}}));
}

TEST_F(SchedulerTest, KeysOfPlacesThatAreGivenUpAreBoundAnew) {
  scheduler_.worker_ready(3, now_);
  scheduler_.add(make_chunk(make_keyed(7), 1));
  EXPECT_EQ(place(), (Placed{{3, 0, 1}}));
  scheduler_.worker_leaves(3);
  scheduler_.add(make_chunk(make_keyed(7), 2));
  scheduler_.resize(2);
  scheduler_.worker_ready(0, now_);
  scheduler_.worker_ready(1, now_);
  EXPECT_EQ(scheduler_.waiting(), 2u);
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {0, 1, 1}}));
}

TEST_F(SchedulerTest, KeysOfWorkersThatNobodyReplacesAreBoundAnew) {
  ready(3);
  for (int key = 0; key < 3; ++key) scheduler_.add(make_chunk(make_keyed(key), 1));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}, {1, 0, 1}, {2, 0, 1}}));
  scheduler_.finished(0, trampoline, 1, 1, 10, now_);
  scheduler_.worker_gone(0);
  scheduler_.worker_leaves(1);
  for (int key = 0; key < 3; ++key) scheduler_.add(make_chunk(make_keyed(key), 2));
  scheduler_.finished(2, trampoline, 1, 1, 10, now_);
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  scheduler_.finished(2, trampoline, 2, 1, 10, now_);
  scheduler_.count_on_ready_ones();
  // Not those of the one that still has an element of its key.
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  EXPECT_TRUE(scheduler_.awaited(1));
  scheduler_.finished(2, trampoline, 2, 1, 10, now_);
  scheduler_.worker_gone(1);
  scheduler_.count_on_ready_ones();
  EXPECT_EQ(place(), (Placed{{2, 0, 2}}));
  // And new ones, as long as nobody comes.
  scheduler_.finished(2, trampoline, 2, 1, 10, now_);
  scheduler_.add(make_chunk(make_keyed(8), 1));
  EXPECT_EQ(place(), (Placed{{2, 0, 1}}));
  scheduler_.worker_ready(0, now_);
  scheduler_.add(make_chunk(make_keyed(9), 1));
  EXPECT_EQ(place(), (Placed{{0, 0, 1}}));
}

// Two threads must not overtake each other on the way to the worker.
TEST_F(SchedulerTest, OneElementWithAKeyIsOnItsWayAtATime) {
  ready(1);
  scheduler_.add(make_chunk(make_keyed(1), 1));
  scheduler_.add(make_chunk(make_keyed(1), 1));
  auto const first = scheduler_.next();
  ASSERT_TRUE(first);
  EXPECT_FALSE(scheduler_.next());
  scheduler_.add(make_chunk(make_task(1), 1));
  EXPECT_TRUE(scheduler_.next());  // what has no key may
  scheduler_.refused(first->worker, first->chunk);
  scheduler_.roomy(0);
  scheduler_.requeue(first->chunk);
  EXPECT_TRUE(scheduler_.next());
  EXPECT_FALSE(scheduler_.next());
}

TEST_F(SchedulerTest, ElementsWithKeysAreNotTakenBackForBalance) {
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
  Scheduler scheduler(4, 100);
  std::vector<std::uint64_t> given(4);
  for (int life = 0; life < 2; ++life) {
    for (std::size_t worker = 0; worker < 4; ++worker) {
      scheduler.worker_ready(worker, now_);
      std::uint64_t elements = 0;
      scheduler.add(make_chunk(make_task(1000), 1000));
      while (auto assignment = scheduler.next()) {
        elements += assignment->chunk.count;
        scheduler.finished(worker, trampoline, assignment->chunk.count, 1, 10, now_);
      }
      EXPECT_TRUE(scheduler.spent(worker));
      scheduler.remove_all();
      scheduler.worker_gone(worker);
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
  ASSERT_TRUE(scheduler_.next());
  EXPECT_FALSE(scheduler_.idle_since(0));
  scheduler_.finished(0, trampoline, 1, 1, 10, now_ + 3s);
  EXPECT_EQ(scheduler_.idle_since(0), now_ + 3s);
}

// The worker may have answered, and another thread told of that, before the one that asked tells of it.
TEST_F(SchedulerTest, AGiveUpThatIsOverBeforeItsBeginIsToldIsOver) {
  ready(1);
  for (std::uint64_t number = 1; number <= 3; ++number) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(scheduler_.next()) << number;
    scheduler_.revocation_done(0, number);
    scheduler_.revoked(0, 1, 1, number);
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_TRUE(scheduler_.next());
  scheduler_.revoked(0, 1, 1, 4);
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(scheduler_.next()) << "this one is not over";
  // It is with its worker.
  scheduler_.worker_gone(0);
  scheduler_.revocation_done(0, 5);
  ready(1);
  scheduler_.revoked(0, 0, 0, 5);
  EXPECT_TRUE(scheduler_.next());
}

// ---- several at once

TEST_F(SchedulerTest, ShortElementsGoSeveralAtATime) {
  ready(1);
  know_cost(100);
  for (int i = 0; i < 3; ++i) scheduler_.add(make_chunk(make_task(), 1));
  auto const first = scheduler_.next();
  ASSERT_TRUE(first);
  EXPECT_TRUE(scheduler_.next_coalesced(first->worker));
  EXPECT_TRUE(scheduler_.next_coalesced(first->worker));
  EXPECT_FALSE(scheduler_.next_coalesced(first->worker));
  EXPECT_EQ(scheduler_.held(0), 3u);
  EXPECT_EQ(scheduler_.waiting(), 0u);
}

TEST_F(SchedulerTest, OthersGoByThemselves) {
  ready(1);
  auto const alone = [&] {
    scheduler_.add(make_chunk(make_task(), 1));
    auto const first = scheduler_.next();
    return first && !scheduler_.next_coalesced(first->worker);
  };
  for (int i = 0; i < 2; ++i) scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_TRUE(alone()) << "of an unknown cost";
  scheduler_.remove_all();
  scheduler_.finished(0, trampoline, 1, 1, 50'000, now_);
  EXPECT_TRUE(alone()) << "that take their time";
}

TEST_F(SchedulerTest, WhatIsOfSeveralElementsOrLargeGoesByItself) {
  ready(1);
  know_cost(100);
  for (std::uint64_t const count : {std::uint64_t{2}, std::uint64_t{300}}) {
    scheduler_.add(make_chunk(make_task(), 1));
    scheduler_.add(make_chunk(make_task(), count));
    auto const first = scheduler_.next();
    ASSERT_TRUE(first);
    EXPECT_FALSE(scheduler_.next_coalesced(first->worker)) << count;
    scheduler_.remove_all();
  }
  detail::InputBuffer large{0, 1, detail::Bytes(300), {}};
  scheduler_.add(make_chunk(make_task(), 1));
  scheduler_.add({make_task(), std::make_shared<SharedInput>(std::move(large), 300), 0, 1});
  auto const first = scheduler_.next();
  ASSERT_TRUE(first);
  EXPECT_FALSE(scheduler_.next_coalesced(first->worker));
}

TEST_F(SchedulerTest, NothingGoesAlongToAnotherWorker) {
  ready(2);
  know_cost(9'000);
  for (int i = 0; i < 8; ++i) scheduler_.add(make_chunk(make_task(), 1));
  // As next() alone would give them.
  std::vector<std::size_t> given;
  while (auto const next = scheduler_.next()) {
    given.push_back(next->worker);
    while (scheduler_.next_coalesced(next->worker)) given.push_back(next->worker);
  }
  Scheduler other{4};
  for (std::size_t i = 0; i < 2; ++i) other.worker_ready(i, now_);
  other.add(make_chunk(make_task(), 1));
  auto const probe = other.next();
  other.finished(probe->worker, trampoline, 1, 1, 9'000, now_);
  for (int i = 0; i < 8; ++i) other.add(make_chunk(make_task(), 1));
  std::vector<std::size_t> one_by_one;
  while (auto const next = other.next()) one_by_one.push_back(next->worker);
  EXPECT_EQ(given, one_by_one);
  EXPECT_GT(std::ranges::count(given, 1u), 0);
}

TEST_F(SchedulerTest, ShortElementsWaitForCompanyBehindMany) {
  ready(1);
  know_cost(100);
  EXPECT_FALSE(scheduler_.coalesces()) << "nothing waits";
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_FALSE(scheduler_.coalesces()) << "the worker is idle";
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    EXPECT_FALSE(scheduler_.coalesces()) << i;
    ASSERT_TRUE(scheduler_.next());
    scheduler_.add(make_chunk(make_task(), 1));
  }
  while (scheduler_.coalesces()) scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_EQ(scheduler_.waiting(), Scheduler::max_coalesced);
}

TEST_F(SchedulerTest, WhatWaitedIsNotPatientOnceTheWorkerIsThrough) {
  ready(1);
  know_cost(100);
  for (std::size_t i = 0; i < Scheduler::enough_chunks; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    ASSERT_TRUE(scheduler_.next());
  }
  scheduler_.add(make_chunk(make_task(), 1));
  EXPECT_TRUE(scheduler_.coalesces());
  scheduler_.finished(0, trampoline, 1, 1, 100, now_);
  EXPECT_FALSE(scheduler_.coalesces());
}

TEST_F(SchedulerTest, WhatWasRefusedIsNotAhead) {
  ready(1);
  know_cost(100'000);
  scheduler_.add(make_chunk(make_task(), 1));
  ASSERT_TRUE(scheduler_.next());
  for (int i = 0; i < 10; ++i) {
    scheduler_.add(make_chunk(make_task(), 1));
    auto const more = scheduler_.next();
    ASSERT_TRUE(more) << i;
    scheduler_.refused(more->worker, more->chunk);
    scheduler_.roomy(more->worker);
  }
  EXPECT_EQ(scheduler_.held(0), 1u);
}

}  // namespace
}  // namespace procpool::parent
