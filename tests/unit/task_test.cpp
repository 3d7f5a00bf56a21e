// Task: it ends when it is sealed and every element was delivered, and wakes whoever waits.

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include <procpool/detail/task.hpp>

namespace procpool::detail {
namespace {

using namespace std::chrono_literals;

Block block(std::uint64_t first, std::uint64_t count) {
  Block block;
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

}  // namespace
}  // namespace procpool::detail
