// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A slot puts shared values ahead of the chunks that name them, each once, and those without room later.
// Each change of a slot reports its load.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "slot_support.hpp"

namespace procpool::parent {
namespace {

// The spinning thread finds whatever the worker publishes meanwhile, or hears of it at the end of its spin.
TEST_F(SlotTest, AWorkerDoesNotNotifyWhileAThreadSpins) {
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
  EXPECT_EQ(taken_, (std::vector{InboxKind::resource, InboxKind::resource,
                                 InboxKind::register_function, InboxKind::chunk}));
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

TEST_F(SlotTest, AValueThatNobodyHasIsEvictedWithTheNextChunk) {
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

TEST_F(SlotTest, AnIdleWorkerIsToldToForgetWhatHasEnded) {
  int woken = 0;
  wakened_ = [&woken] { ++woken; };
  ASSERT_EQ(slot_.put(chunk_with({share_of(100)})), Slot::Put::sent);
  take();
  slot_.collect();
  EXPECT_EQ(woken, 1);
  Slot::TimePoint const now{};
  EXPECT_TRUE(slot_.trim(now).has_value()) << "it is looked at again: more may end";
  ASSERT_TRUE(worker_->wait());
  take_one();
  EXPECT_EQ(taken_.back(), InboxKind::forget);
  EXPECT_TRUE(shares_.empty());
  EXPECT_FALSE(slot_.trim(now).has_value());
}

// More than the ring, and more descriptors than the socket holds: in several goes, each once. The worker
// notifies of none of them, so each attempt says whether it has got on.
TEST_F(SlotTest, WhatFindsNoRoomComesLater) {
  for (std::size_t const size : {10'000u, 20'000u}) {
    Resource::List shares;
    for (int i = 0; i < 1500; ++i) shares.push_back(share_of(size));
    if (size > 16'384) shares.resize(700);  // each has a descriptor
    arrivals_ = 0;
    Chunk chunk = chunk_with(shares);
    std::size_t goes = 0;
    for (;;) {
      slot_.park(static_cast<std::uint32_t>(goes + 1));
      auto const put = slot_.put(std::span(&chunk, 1), {});
      if (put.result == Slot::Put::sent) break;
      ASSERT_EQ(put.result, Slot::Put::full);
      EXPECT_TRUE(put.advanced);
      EXPECT_FALSE(slot_.put(std::span(&chunk, 1), {}).advanced) << "nothing was taken";
      EXPECT_FALSE(slot_.load().writable);
      std::size_t const before = arrivals_;
      while (worker_->has_frame()) {
        ASSERT_TRUE(worker_->wait());
        take_one();
      }
      EXPECT_GT(arrivals_, before);
      EXPECT_FALSE(rung());
      EXPECT_FALSE(slot_.news());
      EXPECT_EQ(slot_.collect().load.version, 0u);
      ++goes;
    }
    EXPECT_TRUE(slot_.load().writable);
    take();
    EXPECT_TRUE(rung());
    slot_.collect();
    EXPECT_EQ(arrivals_, shares.size());
    EXPECT_GT(goes, 1u);
  }
}

// An outcome is the time to try again: it is behind whatever the worker had to take.
TEST_F(SlotTest, AnOutcomeMakesASlotWritableThatHadNoRoom) {
  ASSERT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent);
  std::vector<Chunk> chunks;
  for (int i = 0; i < 100; ++i) chunks.push_back(chunk_of(1000));
  std::size_t const sent = slot_.put(chunks, {}).sent;
  ASSERT_LT(sent, chunks.size());
  EXPECT_FALSE(slot_.load().writable);
  take_chunk();
  answer(0);
  worker_->finish_frame();
  EXPECT_TRUE(slot_.collect().load.writable);
}

// A socket that nobody reads any more.
TEST_F(SlotTest, ADescriptorThatIsRefusedLeavesTheChunk) {
  worker_.reset();
  control_.reset();
  Chunk chunk = chunk_with({share_of(100'000)});
  auto const put = slot_.put(std::span(&chunk, 1), {});
  EXPECT_EQ(put.result, Slot::Put::full);
  EXPECT_FALSE(put.advanced);
  EXPECT_NE(chunk.task, nullptr);
  EXPECT_EQ(slot_.load().held, Amount());
  EXPECT_FALSE(slot_.load().writable);
  EXPECT_FALSE(slot_.news());
}

// ---- loads

TEST_F(SlotTest, EachChangeReportsTheLoadInANewVersion) {
  std::vector<Chunk> chunks{chunk_of(2), chunk_of(3)};
  ASSERT_EQ(slot_.put(chunks, {}).sent, 2u);
  Load const sent = slot_.load();
  EXPECT_EQ(sent.held.elements, 5u);
  EXPECT_EQ(sent.held.chunks, 2u);
  EXPECT_EQ(sent.offered, sent.held);
  EXPECT_EQ(sent.given, 5u);
  EXPECT_TRUE(sent.writable);
  EXPECT_EQ(slot_.collect().load.version, 0u) << "nothing has changed";
  take_chunk();
  answer(0);
  answer(1);
  worker_->finish_frame();
  Load const answered = slot_.collect().load;
  EXPECT_GT(answered.version, sent.version);
  EXPECT_EQ(answered.held.elements, 3u);
  EXPECT_EQ(answered.held.chunks, 1u);
  EXPECT_EQ(answered.answered, 2u);
  EXPECT_EQ(answered.given, 5u);
  Load const revoked = slot_.revoke(2).load;
  EXPECT_GT(revoked.version, answered.version);
  EXPECT_TRUE(revoked.revoking);
  EXPECT_EQ(revoked.held.elements, 1u);
  EXPECT_EQ(revoked.given, 3u);
  EXPECT_EQ(revoked.returned, 2u);
  Load const dead = slot_.reap().report.load;
  EXPECT_GT(dead.version, revoked.version);
  EXPECT_EQ(dead.held, Amount());
  EXPECT_EQ(dead.offered.elements, 5u) << "of all workers of the slot";
  EXPECT_EQ(dead.returned, 3u) << "likewise";
  EXPECT_FALSE(dead.revoking);
  EXPECT_FALSE(dead.writable);
  open();
  EXPECT_GT(slot_.load().version, dead.version);
  EXPECT_TRUE(slot_.load().writable);
}

TEST_F(SlotTest, WhatCannotBePutWasOfferedAllTheSame) {
  slot_.reap();
  std::vector<Chunk> chunks{chunk_of(2), chunk_of(3)};
  EXPECT_EQ(slot_.put(chunks, {}).result, Slot::Put::gone);
  EXPECT_EQ(slot_.load().offered.elements, 5u);
  EXPECT_EQ(slot_.load().returned, 5u);
  EXPECT_EQ(slot_.load().held, Amount());
  Slot unused{1};
  EXPECT_EQ(unused.put(chunks, {}).result, Slot::Put::gone);
  EXPECT_EQ(unused.load().offered.chunks, 2u);
}

// They would go ahead of elements that were revoked while they were on their way.
TEST_F(SlotTest, NothingIsPutBehindElementsThatCameBackMeanwhile) {
  std::vector<Chunk> chunks{chunk_of(1), chunk_of(2)};
  ASSERT_EQ(slot_.put(std::span(chunks).first(1), {}, 0).sent, 1u);
  EXPECT_EQ(slot_.revoke(1).returned.size(), 1u);
  take_chunk();
  EXPECT_FALSE(worker_->begin(worker_->header().serial));
  worker_->finish_frame();
  ASSERT_TRUE(acknowledged());
  auto const put = slot_.put(std::span(chunks).last(1), {}, 0);
  EXPECT_EQ(put.sent, 0u);
  EXPECT_EQ(put.result, Slot::Put::full);
  Load const load = slot_.load();
  EXPECT_TRUE(load.writable);
  EXPECT_EQ(load.returned, 3u);
  EXPECT_EQ(slot_.put(std::span(chunks).last(1), {}, 3).sent, 1u);
}

TEST_F(SlotTest, WhoAsksAgainAndAgainCollectsWhatIsThere) {
  Slot::Report report;
  EXPECT_FALSE(slot_.try_collect(report));
  ASSERT_EQ(slot_.put(chunk_with({})), Slot::Put::sent);
  EXPECT_FALSE(slot_.try_collect(report));
  take();
  ASSERT_TRUE(slot_.try_collect(report));
  EXPECT_EQ(report.outcomes(), 1u);
  EXPECT_EQ(report.load.held, Amount());
  EXPECT_FALSE(slot_.try_collect(report));
}

TEST_F(SlotTest, TheElementsOfThePoolsOwnCountNowhere) {
  detail::TaskOptions options;
  options.internal = true;
  ASSERT_EQ(slot_.put(chunk_of(1, 4, options)), Slot::Put::sent);
  Load const load = slot_.load();
  EXPECT_EQ(load.held, Amount());
  EXPECT_EQ(load.offered, Amount());
  EXPECT_EQ(load.given, 0u);
}

// A worker that is not ready waits for its initializer, and one that leaves for its exit handler.
TEST_F(SlotTest, TheElementsOfThePoolsOwnAreNotRevoked) {
  detail::TaskOptions options;
  options.internal = true;
  ASSERT_EQ(slot_.put(chunk_of(1, 4, options)), Slot::Put::sent);
  Slot::Report const report = slot_.revoke(1);
  EXPECT_TRUE(report.returned.empty());
  EXPECT_FALSE(slot_.load().revoking);
  do {
    ASSERT_TRUE(worker_->wait());
    if (worker_->header().kind != InboxKind::internal_chunk) worker_->finish_frame();
  } while (worker_->header().kind != InboxKind::internal_chunk);
  EXPECT_TRUE(worker_->begin(0));
}

// ---- several at once

TEST_F(SlotTest, SeveralGoInTheirOrder) {
  std::vector<Chunk> chunks{chunk_of(1), chunk_of(2), chunk_of(3)};
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.sent, 3u);
  EXPECT_EQ(given.result, Slot::Put::sent);
  EXPECT_FALSE(given.unwanted);
  for (Chunk const& chunk : chunks) EXPECT_EQ(chunk.task, nullptr);
  for (auto const& [serial, count] : {std::pair(0u, 1u), std::pair(1u, 2u), std::pair(3u, 3u)}) {
    take_chunk();
    EXPECT_EQ(worker_->header().serial, serial);
    EXPECT_EQ(worker_->header().count, count);
    for (std::uint64_t i = 0; i < count; ++i) answer(serial + i);
    worker_->finish_frame();
  }
  std::uint64_t outcomes = 0;
  auto const report = slot_.collect();
  for (auto const& item : report.items) outcomes += item.block.count;
  EXPECT_EQ(outcomes, 6u);
  EXPECT_EQ(report.load.held, Amount());
}

TEST_F(SlotTest, OfSeveralThoseThatFindNoRoomAreLeft) {
  std::vector<Chunk> chunks;
  for (int i = 0; i < 100; ++i) chunks.push_back(chunk_of(1000));
  auto const given = slot_.put(chunks, {});
  EXPECT_EQ(given.result, Slot::Put::full);
  EXPECT_EQ(slot_.load().returned, (chunks.size() - given.sent) * 1000);
  ASSERT_GT(given.sent, ring_bytes / 2 / 1000);
  ASSERT_LT(given.sent, ring_bytes / 1000);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].task == nullptr, i < given.sent) << i;
  }
  // The worker has got the others, and takes them.
  for (std::size_t i = 0; i < given.sent; ++i) {
    take_chunk();
    for (std::uint64_t k = 0; k < 1000; ++k) answer(i * 1000 + k);
    worker_->finish_frame();
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
  EXPECT_EQ(slot_.load().returned, 1u) << "one ends";
  EXPECT_NE(chunks[1].task, nullptr);
  EXPECT_NE(chunks[2].task, nullptr);
  take_chunk();
  answer(0);
  worker_->finish_frame();
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
