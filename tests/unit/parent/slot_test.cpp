// A slot puts shared values ahead of the chunks that name them, each once; what finds no room comes
// later, and what nobody has any more is forgotten.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slot_support.hpp"

namespace procpool::parent {
namespace {

// What the worker publishes meanwhile is found by who spins, or told at the end of that.
TEST_F(SlotTest, AWorkerDoesNotRingWhileSomebodySpins) {
  slot_.park(7);
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  slot_.begin_spin();
  take();
  EXPECT_FALSE(rung());
  EXPECT_TRUE(slot_.news());
  EXPECT_TRUE(slot_.end_spin());  // nobody has collected it
  EXPECT_EQ(slot_.collect().items.size(), 1u);

  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_TRUE(rung());
  EXPECT_EQ(slot_.collect().items.size(), 1u);
}

TEST_F(SlotTest, SeveralMaySpinAndTheDispatcherMayFallAsleepMeanwhile) {
  slot_.begin_spin();
  slot_.begin_spin();
  slot_.park(8);
  EXPECT_FALSE(slot_.end_spin());
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_FALSE(rung());  // one still spins
  EXPECT_EQ(slot_.collect().items.size(), 1u);
  EXPECT_FALSE(slot_.end_spin());  // it has collected everything
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_TRUE(rung());

  // Awake: there is nothing to ring for, whoever has spun.
  slot_.unpark();
  slot_.begin_spin();
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_FALSE(slot_.end_spin());
  EXPECT_FALSE(rung());
}

TEST_F(SlotTest, AnotherWorkerMayComeWhileSomebodySpins) {
  slot_.park(9);
  slot_.begin_spin();
  open();
  slot_.park(10);
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_FALSE(rung());
  EXPECT_TRUE(slot_.end_spin());
}

TEST_F(SlotTest, ASharedValueIsPutOnce) {
  auto const small = share_of(100, 'a');
  auto const large = share_of(100'000, 'b');
  ASSERT_EQ(slot_.put(chunk_with({small}, {large})), Slot::Put::sent);
  take();
  EXPECT_EQ(taken_, (std::vector{InboxKind::share, InboxKind::share, InboxKind::register_function,
                                 InboxKind::chunk}));
  EXPECT_EQ(shares_[small->id()], std::string(100, 'a'));
  EXPECT_EQ(shares_[large->id()], std::string(100'000, 'b'));
  ASSERT_EQ(slot_.put(chunk_with({large, small})), Slot::Put::sent);
  take();
  EXPECT_EQ(taken_, std::vector{InboxKind::chunk});
}

TEST_F(SlotTest, ItsReplacementGetsItAgain) {
  auto const share = share_of(100);
  ASSERT_EQ(slot_.put(chunk_with({share})), Slot::Put::sent);
  take();
  slot_.reap();
  open();
  ASSERT_EQ(slot_.put(chunk_with({share})), Slot::Put::sent);
  take();
  EXPECT_EQ(arrivals_, 2u);
}

TEST_F(SlotTest, WhatNobodyHasIsForgottenWithTheNextChunk) {
  auto kept = share_of(100);
  {
    ASSERT_EQ(slot_.put(chunk_with({kept, share_of(100), share_of(50'000)})), Slot::Put::sent);
  }
  take();
  slot_.collect();
  EXPECT_EQ(shares_.size(), 3u);
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  take();
  EXPECT_EQ(taken_, (std::vector{InboxKind::forget, InboxKind::chunk}));
  ASSERT_EQ(shares_.size(), 1u);
  EXPECT_EQ(shares_.begin()->first, kept->id());
  slot_.collect();
  ASSERT_EQ(slot_.put(chunk_with({kept})), Slot::Put::sent);
  take();
  EXPECT_EQ(taken_, std::vector{InboxKind::chunk});
}

// More than the ring, and more descriptors than the socket holds: in several goes, each once.
TEST_F(SlotTest, WhatFindsNoRoomComesLater) {
  for (std::size_t const size : {10'000u, 20'000u}) {
    Share::List shares;
    for (int i = 0; i < 1500; ++i) shares.push_back(share_of(size));
    if (size > 16'384) shares.resize(700);  // each has a descriptor
    arrivals_ = 0;
    Chunk chunk = chunk_with(shares);
    Slot::Put put = slot_.put(chunk);
    ASSERT_EQ(put, Slot::Put::full);
    EXPECT_FALSE(slot_.await_room());
    EXPECT_FALSE(slot_.news());
    EXPECT_FALSE(slot_.collect().roomy);
    int goes = 1;
    while (put == Slot::Put::full) {
      std::size_t const before = arrivals_;
      while (!slot_.news()) {
        ASSERT_TRUE(worker_->wait());
        take_one();
      }
      EXPECT_GT(arrivals_, before);
      EXPECT_TRUE(slot_.collect().roomy);
      EXPECT_FALSE(slot_.collect().roomy);
      put = slot_.put(chunk);
      if (put == Slot::Put::full) {
        EXPECT_FALSE(slot_.await_room());
      }
      ++goes;
    }
    EXPECT_EQ(put, Slot::Put::sent);
    take();
    slot_.collect();
    EXPECT_EQ(arrivals_, shares.size());
    EXPECT_GT(goes, 2);
  }
}

TEST_F(SlotTest, RoomThatCameBeforeItWasAwaited) {
  Share::List shares;
  for (int i = 0; i < 10; ++i) shares.push_back(share_of(10'000));
  Chunk chunk = chunk_with(shares);
  ASSERT_EQ(slot_.put(chunk), Slot::Put::full);
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(worker_->wait());
    take_one();
  }
  EXPECT_FALSE(slot_.collect().roomy);  // the engine has not asked for it
  EXPECT_TRUE(slot_.await_room());
  EXPECT_FALSE(slot_.await_room());
  EXPECT_EQ(slot_.put(chunk), Slot::Put::sent);
}

// With a socket that nobody reads any more there is nothing to wait for.
TEST_F(SlotTest, WithoutAnythingAheadNoRoomIsAwaited) {
  worker_.reset();
  control_.reset();
  EXPECT_EQ(slot_.put(chunk_with({share_of(100'000)})), Slot::Put::full);
  EXPECT_FALSE(slot_.await_room());
  EXPECT_FALSE(slot_.news());
}

// ---- several at once

TEST_F(SlotTest, SeveralGoInTheirOrder) {
  std::vector<Chunk> chunks{chunk_of(1), chunk_of(2), chunk_of(3)};
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.sent, 3u);
  EXPECT_EQ(given.how, Slot::Put::sent);
  EXPECT_FALSE(given.unwanted);
  for (Chunk const& chunk : chunks) EXPECT_EQ(chunk.task, nullptr);
  for (auto const& [serial, count] : {std::pair(0u, 1u), std::pair(1u, 2u), std::pair(3u, 3u)}) {
    take_chunk();
    EXPECT_EQ(worker_->header().serial, serial);
    EXPECT_EQ(worker_->header().count, count);
    for (std::uint64_t i = 0; i < count; ++i) answer(serial + i);
    worker_->finish_frame(false);
  }
  std::uint64_t outcomes = 0;
  std::size_t ended_chunks = 0;
  for (auto const& item : slot_.collect().items) {
    outcomes += item.block.count;
    ended_chunks += item.ended_chunks;
  }
  EXPECT_EQ(outcomes, 6u);
  EXPECT_EQ(ended_chunks, 3u);
}

TEST_F(SlotTest, OfSeveralThoseThatFindNoRoomAreLeft) {
  std::vector<Chunk> chunks;
  for (int i = 0; i < 100; ++i) chunks.push_back(chunk_of(1000));
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.how, Slot::Put::full);
  ASSERT_GT(given.sent, ring_bytes / 2 / 1000);
  ASSERT_LT(given.sent, ring_bytes / 1000);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].task == nullptr, i < given.sent) << i;
  }
  // The worker has got the others, and takes them.
  for (std::size_t i = 0; i < given.sent; ++i) {
    take_chunk();
    for (std::uint64_t k = 0; k < 1000; ++k) answer(i * 1000 + k);
    worker_->finish_frame(false);
    // One block of outcomes, or more, if it took its time.
    std::uint64_t outcomes = 0;
    for (auto const& item : slot_.collect().items) outcomes += item.block.count;
    EXPECT_EQ(outcomes, 1000u) << i;
  }
  EXPECT_EQ(slot_.put(chunks[given.sent]), Slot::Put::sent);
}

TEST_F(SlotTest, OfSeveralOneThatCannotBeSentKeepsThoseBeforeIt) {
  std::vector<Chunk> chunks{chunk_of(1), chunk_of(1), chunk_of(1)};
  auto const nowhere = reinterpret_cast<detail::Trampoline>(std::uintptr_t{16});
  chunks[1] = chunk_of(1, 4, {}, nowhere);
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.sent, 1u);
  EXPECT_NE(given.failure, nullptr);
  EXPECT_NE(chunks[1].task, nullptr);
  EXPECT_NE(chunks[2].task, nullptr);
  take_chunk();
  answer(0);
  worker_->finish_frame(false);
  EXPECT_EQ(slot_.collect().items.size(), 1u);
  EXPECT_EQ(slot_.put(chunks[2]), Slot::Put::sent);
}

TEST_F(SlotTest, OfSeveralThoseThatAreUnwantedAreTold) {
  std::vector<Chunk> chunks{chunk_of(1), chunk_of(1), chunk_of(1)};
  auto const cancelled = chunks[1].task;
  cancelled->cancel_from(0);
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.sent, 3u);
  EXPECT_TRUE(given.unwanted);
  EXPECT_EQ(chunks[0].task, nullptr);
  EXPECT_EQ(chunks[1].task, cancelled);
  EXPECT_EQ(chunks[2].task, nullptr);
}

}  // namespace
}  // namespace procpool::parent
