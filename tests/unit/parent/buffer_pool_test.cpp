// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The buffer pool: memory is used again, but never while something refers to it, and goes after a while
// without use. In a hardened pool it serves one worker.

#include "parent/buffer_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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
  std::shared_ptr<Trimmer> trimmer = std::make_shared<Trimmer>([this] { ++woken; });
  std::shared_ptr<BufferPool> buffer_pool = std::make_shared<BufferPool>(false, trimmer);
  std::shared_ptr<BufferPool> hardened = std::make_shared<BufferPool>(true, trimmer);
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

TEST_F(BufferPoolTest, NeverWhileSomethingRefersToIt) {
  auto const block = buffer_pool->take_for(worker, mib);
  auto second = block;
  EXPECT_NE(buffer_pool->take_for(worker, mib)->data(), block->data());
  EXPECT_NE(buffer_pool->take(mib)->data(), block->data());
  second.reset();
  EXPECT_NE(buffer_pool->take_for(worker, mib)->data(), block->data());
}

TEST_F(BufferPoolTest, AnyFreeBlockServesAnyWorker) {
  auto const* const place = buffer_pool->take_for(worker, mib)->data();
  EXPECT_EQ(buffer_pool->take_for(other, mib)->data(), place);
  auto const block = buffer_pool->take(mib);
  EXPECT_EQ(block->data(), place);
  EXPECT_TRUE(buffer_pool->add_reader(*block, other));
  EXPECT_TRUE(buffer_pool->add_reader(*block, std::make_shared<PeerBuffers>()));
  EXPECT_EQ(buffer_pool->made(), 1u);
}

TEST_F(BufferPoolTest, AlsoAfterAWorkersDeath) {
  auto const* const place = buffer_pool->take_for(worker, mib)->data();
  worker.reset();
  EXPECT_EQ(buffer_pool->take_for(other, mib)->data(), place);
}

TEST_F(BufferPoolTest, TellsEachReaderWhenItsBlockIsGone) {
  auto block = buffer_pool->take_for(worker, mib);
  std::uint64_t const id = block->id();
  ASSERT_TRUE(buffer_pool->add_reader(*block, other));
  ASSERT_TRUE(buffer_pool->add_reader(*block, other)) << "for a second message";
  worker->sent(id);
  other->sent(id);
  block.reset();
  buffer_pool->close();
  EXPECT_EQ(worker->take_notices(10).ids, std::vector{id});
  EXPECT_EQ(other->take_notices(10).ids, std::vector{id});
}

TEST_F(BufferPoolTest, HardenedItServesOneWorker) {
  auto const* const place = hardened->take_for(worker, mib)->data();
  auto const others = hardened->take_for(other, mib);
  EXPECT_NE(others->data(), place);
  EXPECT_FALSE(hardened->add_reader(*others, worker));
  EXPECT_TRUE(hardened->add_reader(*others, other));
  auto const again = hardened->take_for(worker, mib);
  EXPECT_EQ(again->data(), place);
  EXPECT_FALSE(hardened->add_reader(*again, other));
}

TEST_F(BufferPoolTest, HardenedItServesNoneAfterItsWorkersDeath) {
  auto first = hardened->take_for(worker, mib);
  auto second = hardened->take_for(worker, mib);
  first.reset();
  EXPECT_EQ(hardened->kept(), 1u);
  worker.reset();
  EXPECT_FALSE(hardened->add_reader(*second, other));
  second.reset();
  EXPECT_EQ(hardened->kept(), 1u) << "the second is not kept at all";
  auto const third = hardened->take_for(other, mib);
  EXPECT_EQ(hardened->made(), 3u) << "the first is not used again";
  hardened->trim(std::chrono::steady_clock::now());
  EXPECT_EQ(hardened->kept(), 0u) << "and goes";
}

TEST_F(BufferPoolTest, HardenedItHasNothingToEncodeInto) {
  hardened->take_for(worker, mib);
  EXPECT_EQ(hardened->take(mib), nullptr);
  EXPECT_GE(hardened->take_for(worker, mib)->capacity(), mib);
  EXPECT_EQ(hardened->made(), 1u);
}

TEST_F(BufferPoolTest, LetsGoWhatIsNotUsed) {
  auto const now = std::chrono::steady_clock::now();
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
