// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/slab.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace procpool::inline v0_1::parent {
namespace {

constexpr std::size_t bytes = 500;

class SlabTest : public testing::Test {
 protected:
  void SetUp() override {
    Slab::give(memory_->take(bytes));
    if (memory_->regions() == 0) GTEST_SKIP() << "the sanitizer sees to each block itself";
  }

  std::vector<void*> take(std::size_t count) {
    std::vector<void*> blocks(count);
    for (void*& block : blocks) block = memory_->take(bytes);
    return blocks;
  }
  static void give(std::vector<void*> const& blocks) {
    for (void* const block : blocks) Slab::give(block);
  }
  // More than two regions are full of, and the third has some.
  std::size_t many() const { return memory_->blocks_per_region() * 2 + 10; }
  TimePoint later() { return now_ += std::chrono::seconds(2); }

  int expected_ = 0;
  TimePoint now_ = std::chrono::steady_clock::now();
  std::shared_ptr<Trimmer> trimmer_ = std::make_shared<Trimmer>([this] { ++expected_; });
  std::shared_ptr<Slab> memory_ = std::make_shared<Slab>(trimmer_);
};

TEST_F(SlabTest, BlocksAreAlignedAndDoNotOverlap) {
  std::vector<void*> const blocks = take(many());
  std::set<std::uintptr_t> places;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::memset(blocks[i], static_cast<int>(i % 251), bytes);
    places.insert(reinterpret_cast<std::uintptr_t>(blocks[i]));
  }
  ASSERT_EQ(places.size(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks[i]) % 64, 0u);
    auto const* const begin = static_cast<unsigned char const*>(blocks[i]);
    ASSERT_EQ(std::count(begin, begin + bytes, i % 251), static_cast<long>(bytes)) << i;
  }
  give(blocks);
}

TEST_F(SlabTest, TheLatestGivenIsTakenNext) {
  std::vector<void*> const blocks = take(3);
  Slab::give(blocks[1]);
  EXPECT_EQ(memory_->take(bytes), blocks[1]);
  give(blocks);
}

TEST_F(SlabTest, OfARegionThatRanEmptyBlocksAreTakenSideBySide) {
  std::vector<void*> blocks = take(100);
  std::ranges::shuffle(blocks, std::mt19937(1));
  give(blocks);
  blocks = take(100);
  EXPECT_TRUE(std::ranges::is_sorted(blocks, std::less<>()));
  give(blocks);
}

TEST_F(SlabTest, RoomOfFullRegionsIsUsedBeforeThereIsAnother) {
  std::vector<void*> blocks = take(many());
  std::size_t const regions = memory_->regions();
  ASSERT_EQ(regions, 3u);
  for (int round = 0; round < 100; ++round) {
    // Every third of them, out of each region.
    std::size_t given = 0;
    for (std::size_t i = 0; i < blocks.size(); i += 3, ++given) Slab::give(blocks[i]);
    for (std::size_t i = 0; i < blocks.size(); i += 3) blocks[i] = memory_->take(bytes);
    ASSERT_EQ(memory_->regions(), regions);
  }
  give(blocks);
}

TEST_F(SlabTest, WhatIsEmptyIsKeptForAWhileAndOneForEver) {
  give(take(many()));
  EXPECT_EQ(memory_->regions(), 3u);
  EXPECT_GE(expected_, 1);
  EXPECT_TRUE(memory_->trim(now_));  // they may have been in use a moment ago
  EXPECT_EQ(memory_->regions(), 3u);
  EXPECT_FALSE(memory_->trim(later()));  // and one more look is not needed
  EXPECT_EQ(memory_->regions(), 1u);
  EXPECT_FALSE(memory_->trim(later()));
  EXPECT_EQ(memory_->regions(), 1u);
}

TEST_F(SlabTest, WhatIsNeededAgainAndAgainIsKept) {
  give(take(many()));
  for (int round = 0; round < 10; ++round) {
    EXPECT_TRUE(memory_->trim(later()));
    give(take(many()));
    ASSERT_EQ(memory_->regions(), 3u);
  }
}

TEST_F(SlabTest, WhatIsInUseIsNotLetGo) {
  std::vector<void*> const blocks = take(many());
  for (void* const block : blocks) std::memset(block, 7, bytes);
  EXPECT_FALSE(memory_->trim(later()));
  EXPECT_FALSE(memory_->trim(later()));
  for (void* const block : blocks) {
    ASSERT_EQ(std::count(static_cast<char*>(block), static_cast<char*>(block) + bytes, 7),
              static_cast<long>(bytes));
  }
  EXPECT_EQ(memory_->regions(), 3u);
  give(blocks);
}

TEST_F(SlabTest, AProgramThatNeedsLittleIsNotLookedAt) {
  for (int i = 0; i < 100; ++i) give(take(10));
  EXPECT_EQ(expected_, 0);
  EXPECT_EQ(memory_->regions(), 1u);
}

TEST_F(SlabTest, BlocksMayOutliveIt) {
  std::vector<void*> const blocks = take(many());
  std::weak_ptr<Slab> const watch = memory_;
  memory_->close();
  memory_.reset();
  EXPECT_FALSE(watch.expired());
  for (void* const block : blocks) std::memset(block, 7, bytes);
  give(blocks);
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(expected_, 0);  // nobody looks any more
}

TEST_F(SlabTest, OnceClosedItKeepsNothing) {
  std::vector<void*> const blocks = take(many());
  memory_->close();
  EXPECT_EQ(memory_->regions(), 3u);
  give(blocks);
  EXPECT_EQ(memory_->regions(), 0u);
  give(take(1));  // of a call that comes too late
  EXPECT_EQ(memory_->regions(), 0u);
}

TEST_F(SlabTest, ManyThreadsTakeAndGiveWhatOthersHaveTaken) {
  std::vector<std::vector<void*>> hands(4);
  for (auto& hand : hands) hand = take(1000);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < hands.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 100; ++round) {
        give(hands[i]);
        for (void*& block : hands[i]) {
          block = memory_->take(bytes);
          std::memset(block, static_cast<int>(i), bytes);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<void*> places;
  for (std::size_t i = 0; i < hands.size(); ++i) {
    for (void* const block : hands[i]) {
      places.insert(block);
      auto const* const begin = static_cast<char const*>(block);
      ASSERT_EQ(std::count(begin, begin + bytes, static_cast<char>(i)), static_cast<long>(bytes));
    }
  }
  EXPECT_EQ(places.size(), 4000u);
  for (auto const& hand : hands) give(hand);
}

TEST_F(SlabTest, AForkedChildMayGiveWhileAnotherThreadOfTheParentIsAtIt) {
  std::vector<void*> const blocks = take(100);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) Slab::give(memory_->take(bytes));
  });
  for (int round = 0; round < 50; ++round) {
    pid_t const child = ::fork();
    if (child == 0) {
      ::alarm(20);  // should it hang
      give(blocks);
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << "the child hung";
  }
  stop = true;
  busy.join();
  give(blocks);
}

TEST_F(SlabTest, ObjectsLieInIt) {
  struct Object {
    explicit Object(int given) : value(given) {}
    int value;
    std::byte rest[bytes];
  };
  auto const own = std::make_shared<Slab>();
  std::vector<std::shared_ptr<Object>> objects;
  for (int i = 0; i < 10'000; ++i) {
    objects.push_back(std::allocate_shared<Object>(SlabAllocator<Object>(*own), i));
  }
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(objects[static_cast<std::size_t>(i)]->value, i);
  EXPECT_GE(own->regions(), 2u);
  objects.clear();
  own->close();
  EXPECT_EQ(own->regions(), 0u);
}

}  // namespace
}  // namespace procpool::inline v0_1::parent
