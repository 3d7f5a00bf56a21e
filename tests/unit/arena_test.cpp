// The arena: memory comes again, but never while somebody refers to it, never for another worker, and
// not after a while without use.

#include "engine/local/arena.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace procpool::local {
namespace {

using namespace std::chrono_literals;
using detail::MessageBlock;

constexpr std::size_t mib = std::size_t{1} << 20;

struct ArenaTest : testing::Test {
  int woken = 0;
  std::shared_ptr<Arena> arena = std::make_shared<Arena>(false, [this] { ++woken; });
  std::shared_ptr<Holdings> worker = std::make_shared<Holdings>();
  std::shared_ptr<Holdings> other = std::make_shared<Holdings>();
};

TEST_F(ArenaTest, GivesTheSameMemoryAgain) {
  auto const* const place = arena->take(mib)->data();
  for (std::size_t const bytes : {mib, mib - 100'000, mib / 2}) {
    EXPECT_EQ(arena->take(bytes)->data(), place) << bytes;
  }
  EXPECT_EQ(arena->made(), 1u);
  EXPECT_EQ(arena->kept(), 1u);
}

TEST_F(ArenaTest, NeverWhileSomebodyRefersToIt) {
  auto const block = arena->take_for(worker, mib);
  auto second = block;
  EXPECT_NE(arena->take_for(worker, mib)->data(), block->data());
  EXPECT_NE(arena->take(mib)->data(), block->data());
  second.reset();
  EXPECT_NE(arena->take_for(worker, mib)->data(), block->data());
}

TEST_F(ArenaTest, NeverForAnotherWorker) {
  auto const* const place = arena->take_for(worker, mib)->data();
  EXPECT_NE(arena->take_for(other, mib)->data(), place);
  EXPECT_EQ(arena->take_for(worker, mib)->data(), place);

  auto block = arena->take(mib);
  bool const was_workers = block->data() == place;
  EXPECT_EQ(arena->claim(*block, was_workers ? worker : other), true);
  EXPECT_EQ(arena->claim(*block, was_workers ? other : worker), false);
}

TEST_F(ArenaTest, NeverAfterItsWorkersDeath) {
  auto first = arena->take_for(worker, mib);
  auto second = arena->take_for(worker, mib);
  first.reset();
  EXPECT_EQ(arena->kept(), 1u);
  worker.reset();
  second.reset();
  EXPECT_EQ(arena->kept(), 1u) << "the second is not kept at all";
  arena->take(mib);
  EXPECT_EQ(arena->made(), 3u) << "the first is not used again";
  arena->trim(Arena::TimePoint::clock::now());
  EXPECT_EQ(arena->kept(), 1u) << "and goes";
}

TEST_F(ArenaTest, EncodesNothingIntoWhatAConfinedWorkerSees) {
  auto const confined = std::make_shared<Arena>(true);
  confined->take_for(worker, mib);
  EXPECT_EQ(confined->take(mib), nullptr);
  EXPECT_EQ(confined->take_for(worker, mib)->capacity() >= mib, true);
  EXPECT_EQ(confined->made(), 1u);
}

TEST_F(ArenaTest, LetsGoWhatIsNotUsed) {
  auto const now = Arena::TimePoint::clock::now();
  auto block = arena->take_for(worker, mib);
  worker->sent(block->id());
  std::uint64_t const id = block->id();
  EXPECT_EQ(arena->trim(now), std::nullopt) << "nothing is kept yet";
  EXPECT_EQ(woken, 0);
  block.reset();
  EXPECT_EQ(woken, 1);
  auto const again = arena->trim(now);
  ASSERT_TRUE(again);
  EXPECT_GT(*again, now + memory_is_kept / 2);
  EXPECT_FALSE(worker->take_news(10).any());
  EXPECT_EQ(arena->trim(*again), std::nullopt);
  EXPECT_EQ(arena->kept(), 0u);
  auto const news = worker->take_news(10);
  EXPECT_EQ(news.words.gone, 1u);
  EXPECT_EQ(news.ids, std::vector{id});
  EXPECT_FALSE(worker->has(id));
}

TEST_F(ArenaTest, KeepsNoMoreThanABound) {
  std::vector<std::shared_ptr<MessageBlock>> blocks;
  for (int i = 0; i < 200; ++i) {
    if (auto block = arena->take(100'000)) blocks.push_back(std::move(block));
  }
  EXPECT_LE(blocks.size(), 64u) << "each costs a descriptor";
  blocks.clear();
  EXPECT_LE(arena->kept(), 32u);
}

TEST_F(ArenaTest, MayBeClosedAndEndBeforeItsBlocks) {
  auto const kept = arena->take(mib);
  arena->take(mib);
  arena->close();
  EXPECT_EQ(arena->kept(), 0u);
  EXPECT_EQ(arena->take(mib), nullptr);
  auto const late = arena->take_for(worker, mib);
  arena.reset();
  late->data()[0] = std::byte{1};
}

TEST_F(ArenaTest, ByManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        auto const block = arena->take_for(t % 2 == 0 ? worker : other, 70'000);
        auto const mark = static_cast<std::byte>(t);
        std::fill_n(block->data(), 70'000, mark);
        std::this_thread::yield();
        if (std::count(block->data(), block->data() + 70'000, mark) != 70'000) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(arena->made(), 4u);
}

}  // namespace
}  // namespace procpool::local
