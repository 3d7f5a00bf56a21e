// The arena: memory comes again, but never while somebody refers to it, never for another worker, and
// not after a while without use.

#include "parent/buffer_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using detail::MessageBlock;

constexpr std::size_t mib = std::size_t{1} << 20;

struct BufferPoolTest : testing::Test {
  int woken = 0;
  std::shared_ptr<BufferPool> buffer_pool =
      std::make_shared<BufferPool>(false, [this] { ++woken; });
  std::shared_ptr<PeerBuffers> worker = std::make_shared<PeerBuffers>();
  std::shared_ptr<PeerBuffers> other = std::make_shared<PeerBuffers>();
};

TEST_F(BufferPoolTest, GivesTheSameMemoryAgain) {
  auto const* const place = buffer_pool->take(mib)->data();
  for (std::size_t const bytes : {mib, mib - 100'000, mib / 2}) {
    EXPECT_EQ(buffer_pool->take(bytes)->data(), place) << bytes;
  }
  EXPECT_EQ(buffer_pool->made(), 1u);
  EXPECT_EQ(buffer_pool->kept(), 1u);
}

TEST_F(BufferPoolTest, NeverWhileSomebodyRefersToIt) {
  auto const block = buffer_pool->take_for(worker, mib);
  auto second = block;
  EXPECT_NE(buffer_pool->take_for(worker, mib)->data(), block->data());
  EXPECT_NE(buffer_pool->take(mib)->data(), block->data());
  second.reset();
  EXPECT_NE(buffer_pool->take_for(worker, mib)->data(), block->data());
}

TEST_F(BufferPoolTest, NeverForAnotherWorker) {
  auto const* const place = buffer_pool->take_for(worker, mib)->data();
  EXPECT_NE(buffer_pool->take_for(other, mib)->data(), place);
  EXPECT_EQ(buffer_pool->take_for(worker, mib)->data(), place);

  auto block = buffer_pool->take(mib);
  bool const was_workers = block->data() == place;
  EXPECT_EQ(buffer_pool->claim(*block, was_workers ? worker : other), true);
  EXPECT_EQ(buffer_pool->claim(*block, was_workers ? other : worker), false);
}

TEST_F(BufferPoolTest, NeverAfterItsWorkersDeath) {
  auto first = buffer_pool->take_for(worker, mib);
  auto second = buffer_pool->take_for(worker, mib);
  first.reset();
  EXPECT_EQ(buffer_pool->kept(), 1u);
  worker.reset();
  second.reset();
  EXPECT_EQ(buffer_pool->kept(), 1u) << "the second is not kept at all";
  buffer_pool->take(mib);
  EXPECT_EQ(buffer_pool->made(), 3u) << "the first is not used again";
  buffer_pool->trim(BufferPool::TimePoint::clock::now());
  EXPECT_EQ(buffer_pool->kept(), 1u) << "and goes";
}

TEST_F(BufferPoolTest, EncodesNothingIntoWhatAConfinedWorkerSees) {
  auto const hardened = std::make_shared<BufferPool>(true);
  hardened->take_for(worker, mib);
  EXPECT_EQ(hardened->take(mib), nullptr);
  EXPECT_EQ(hardened->take_for(worker, mib)->capacity() >= mib, true);
  EXPECT_EQ(hardened->made(), 1u);
}

TEST_F(BufferPoolTest, LetsGoWhatIsNotUsed) {
  auto const now = BufferPool::TimePoint::clock::now();
  auto block = buffer_pool->take_for(worker, mib);
  worker->sent(block->id());
  std::uint64_t const id = block->id();
  EXPECT_EQ(buffer_pool->trim(now), std::nullopt) << "nothing is kept yet";
  EXPECT_EQ(woken, 0);
  block.reset();
  EXPECT_EQ(woken, 1);
  auto const again = buffer_pool->trim(now);
  ASSERT_TRUE(again);
  EXPECT_GT(*again, now + memory_is_kept / 2);
  EXPECT_FALSE(worker->take_notices(10).any());
  EXPECT_EQ(buffer_pool->trim(*again), std::nullopt);
  EXPECT_EQ(buffer_pool->kept(), 0u);
  auto const news = worker->take_notices(10);
  EXPECT_EQ(news.words.gone, 1u);
  EXPECT_EQ(news.ids, std::vector{id});
  EXPECT_FALSE(worker->has(id));
}

TEST_F(BufferPoolTest, KeepsNoMoreThanABound) {
  std::vector<std::shared_ptr<MessageBlock>> blocks;
  for (int i = 0; i < 200; ++i) {
    if (auto block = buffer_pool->take(100'000)) blocks.push_back(std::move(block));
  }
  EXPECT_LE(blocks.size(), 64u) << "each costs a descriptor";
  blocks.clear();
  EXPECT_LE(buffer_pool->kept(), 32u);
}

TEST_F(BufferPoolTest, MayBeClosedAndEndBeforeItsBlocks) {
  auto const kept = buffer_pool->take(mib);
  buffer_pool->take(mib);
  buffer_pool->close();
  EXPECT_EQ(buffer_pool->kept(), 0u);
  EXPECT_EQ(buffer_pool->take(mib), nullptr);
  auto const late = buffer_pool->take_for(worker, mib);
  buffer_pool.reset();
  late->data()[0] = std::byte{1};
}

TEST_F(BufferPoolTest, ByManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        auto const block = buffer_pool->take_for(t % 2 == 0 ? worker : other, 70'000);
        auto const mark = static_cast<std::byte>(t);
        std::fill_n(block->data(), 70'000, mark);
        std::this_thread::yield();
        if (std::count(block->data(), block->data() + 70'000, mark) != 70'000) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(buffer_pool->made(), 4u);
}

}  // namespace
}  // namespace procpool::parent
