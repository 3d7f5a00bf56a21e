// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Task: it ends when it is sealed and every element was delivered, and wakes whoever waits.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include <procpool/detail/engine/task.hpp>

namespace procpool::detail {
namespace {

using namespace std::chrono_literals;

OutcomeBlock block(std::uint64_t first, std::uint64_t count) {
  OutcomeBlock block;
  block.first = first;
  block.count = count;
  return block;
}

auto soon() { return std::chrono::steady_clock::now() + 20ms; }

TEST(Task, EndsOnlyWhenSealedAndComplete) {
  Task task{Function{}};
  task.announce(3);
  task.deliver(block(0, 3));
  EXPECT_FALSE(task.ended());
  task.announce(2);
  EXPECT_TRUE(task.seal());
  EXPECT_FALSE(task.ended());
  EXPECT_FALSE(task.wait_until(soon()));
  task.deliver(block(4, 1));
  task.deliver(block(3, 1));
  EXPECT_TRUE(task.ended());
  EXPECT_TRUE(task.wait_until({}));
}

TEST(Task, SealsOnce) {
  Task task{Function{}};
  EXPECT_TRUE(task.seal());
  EXPECT_FALSE(task.seal());
  EXPECT_TRUE(task.ended());  // of nothing, nothing is missing
}

TEST(Task, BlocksAreTakenOnceInTheOrderOfTheirArrival) {
  Task task{Function{}};
  task.announce(2);
  task.deliver(block(1, 1));
  EXPECT_EQ(task.take().size(), 1u);
  task.deliver(block(0, 1));
  auto const blocks = task.take();
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_EQ(blocks[0].first, 0u);
  EXPECT_TRUE(task.take().empty());
}

TEST(Task, SeveralBlocksAreTakenInTheOrderOfTheirArrival) {
  Task task{Function{}};
  EXPECT_TRUE(task.announce(4, true));
  EXPECT_FALSE(task.seal());
  for (std::uint64_t const first : {2u, 0u, 3u}) task.deliver(block(first, 1));
  std::vector<std::uint64_t> order;
  for (auto const& taken : task.take()) order.push_back(taken.first);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 0, 3}));
  task.deliver(block(1, 1));
  EXPECT_TRUE(task.ended());
  EXPECT_EQ(task.take().front().first, 1u);
}

TEST(Task, IdsDiffer) {
  Task const first{Function{}};
  Task const second{Function{}};
  EXPECT_NE(first.id(), second.id());
}

TEST(Task, EveryWaiterIsWoken) {
  for (int round = 0; round < 200; ++round) {
    Task task{Function{}};
    task.announce(1);
    task.seal();
    std::vector<std::thread> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&task] { EXPECT_TRUE(task.wait_until({})); });
    }
    task.deliver(block(0, 1));
    for (std::thread& waiter : waiters) waiter.join();
  }
}

TEST(Task, CountsWhatFailedAndWhatWasCancelled) {
  Task task{Function{}};
  task.announce(6);
  task.deliver(block(0, 2));
  OutcomeBlock failed = block(2, 1);
  failed.kind = OutcomeBlock::Kind::thrown;
  task.deliver(std::move(failed));
  OutcomeBlock cancelled = block(3, 3);
  cancelled.kind = OutcomeBlock::Kind::failed;
  cancelled.cancelled = true;
  task.deliver(std::move(cancelled));
  Task::Counts const counts = task.counts();
  EXPECT_EQ(counts.announced, 6u);
  EXPECT_EQ(counts.delivered, 6u);
  EXPECT_EQ(counts.failed, 1u);
  EXPECT_EQ(counts.cancelled, 3u);
  EXPECT_FALSE(counts.sealed);
}

TEST(Task, TheCancelMarkOnlySinks) {
  Task task{Function{}};
  EXPECT_TRUE(task.cancel_from(10));
  EXPECT_FALSE(task.cancel_from(10));
  EXPECT_FALSE(task.cancel_from(11));
  EXPECT_TRUE(task.cancel_from(3));
  EXPECT_EQ(task.cancelled_from(), 3u);
}

TEST(Task, AttemptsAreCountedAndOnlyTheLastAreKept) {
  TaskControl control;
  control.retries = {.times = 1000};
  Task task{Function{}, {.control = &control}};
  std::string const text(1 << 20, 'x');
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(task.attempt_failed(7, std::to_string(i) + text));
  }
  EXPECT_FALSE(task.attempt_failed(7, "one too many"));
  Attempts const attempts = task.earlier_attempts(7);
  EXPECT_EQ(attempts.failed, 1000u);
  ASSERT_EQ(attempts.told.size(), Attempts::max_told);
  EXPECT_TRUE(attempts.told.front().starts_with("996x"));
  EXPECT_TRUE(attempts.told.back().starts_with("999x"));
  EXPECT_LE(attempts.told.back().size(), Attempts::max_bytes);
  EXPECT_EQ(task.earlier_attempts(8).failed, 0u);
}

TEST(Task, KnowsWhenItsElementsWereQueuedUntilAllAreAnswered) {
  Task task{Function{}, {.stream = true, .detailed = true}};
  auto const before = std::chrono::steady_clock::now();
  task.note_queued(0, 3);
  task.note_queued(3, 2);
  auto const first = task.queued(block(1, 2));
  ASSERT_TRUE(first);
  EXPECT_GE(*first, before);
  auto const second = task.queued(block(4, 1));
  ASSERT_TRUE(second);
  EXPECT_GE(*second, *first);
  EXPECT_EQ(task.queued(block(0, 1)), first);
  EXPECT_EQ(task.queued(block(3, 1)), second);
  // All of them are answered, and nothing is kept.
  EXPECT_FALSE(task.queued(block(4, 1)));
}

TEST(Task, AStreamsConsumerIsWokenByTheBlockItAwaits) {
  Task task{Function{}, {.stream = true}};
  task.announce(4);
  std::atomic<bool> woken = false;
  std::thread consumer([&] {
    task.wait_for_block(2);
    woken = true;
  });
  task.deliver(block(3, 1));
  task.deliver(block(0, 2));
  EXPECT_EQ(task.take().size(), 2u);
  EXPECT_FALSE(woken);
  task.deliver(block(2, 1));
  consumer.join();
  EXPECT_EQ(task.take().size(), 1u);
  // And by the end, whatever it awaits.
  std::thread other([&] { task.wait_for_block(77); });
  task.seal();
  other.join();
}

}  // namespace
}  // namespace procpool::detail
