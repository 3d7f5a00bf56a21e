// What may be given to a worker and when, what is taken back from it, and whom an end meets.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "os/spin.hpp"
#include "slot_support.hpp"
#include "support/build.hpp"

namespace procpool::local {
namespace {

using namespace std::chrono_literals;
using TimePoint = Slot::TimePoint;

class SlotControlTest : public SlotTest {
 protected:
  static Slot::Sentence sentence_on(std::uint64_t serial, bool cancelled = false) {
    return {serial, std::make_exception_ptr(std::runtime_error("ended")), cancelled};
  }
  TimePoint const now_{1h};
};

// ---- giving

TEST_F(SlotControlTest, NothingIsPutUntilATakeBackIsAcknowledged) {
  give(chunk_of(3));
  answer(0);
  auto const taken = slot_.take_back(2);
  EXPECT_TRUE(taken.asked);
  EXPECT_EQ(taken.elements, 2u);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full);
  EXPECT_FALSE(worker_->begin(1));
  worker_->finish_record(true);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full) << "nobody has seen it";
  auto const harvest = slot_.collect();
  EXPECT_TRUE(harvest.settled);
  EXPECT_TRUE(harvest.returned.empty());
  EXPECT_EQ(harvest.items.size(), 1u);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent);
}

TEST_F(SlotControlTest, NothingIsPutForAWorkerThatIsToBeEnded) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(0));
  ASSERT_TRUE(slot_.condemn(sentence_on(0)).condemned);
  EXPECT_TRUE(slot_.condemned());
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full);
  slot_.bury();
  open();
  EXPECT_FALSE(slot_.condemned()) << "that was another";
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent);
}

TEST_F(SlotControlTest, ElementsWithADeadlineAreClaimedOneByOne) {
  detail::TaskControl control;
  detail::TaskOptions options;
  options.control = &control;
  give(chunk_of(3, 4, options));
  EXPECT_EQ(worker_->header().apart, 0u);
  control.timeout = 1s;
  ASSERT_EQ(slot_.put(chunk_of(3, 4, options)), Slot::Put::sent);
  worker_->finish_record(false);
  take_chunk();
  EXPECT_EQ(worker_->header().apart, 1u);
}

TEST_F(SlotControlTest, AFunctionThatFoundNoRoomIsDeclaredLater) {
  std::uint64_t chunks = 0;
  Slot::Put put = Slot::Put::sent;
  while ((put = slot_.put(chunk_of(1))) == Slot::Put::sent) ++chunks;
  ASSERT_EQ(put, Slot::Put::full);
  Chunk other = chunk_of(1, 4, {}, another_trampoline);
  ASSERT_EQ(slot_.put(other), Slot::Put::full);
  for (std::uint64_t i = 0; i < chunks; ++i) {
    take_chunk();
    answer(i);
    worker_->finish_record(false);
    slot_.collect();
  }
  give(std::move(other));
  EXPECT_EQ(taken_, (std::vector{InboxKind::declare, InboxKind::chunk}));
}

// While the copy is made the worker may die, and another come, which must not have the first one's memory in view.
TEST_F(SlotControlTest, MemoryThatWasMadeForOneWorkerIsNotGivenToItsReplacement) {
  auto const another = std::make_shared<Holdings>();
  chunk_of(100'000).batch->in_memory_of(*arena_, another);
  arena_->trim(std::chrono::steady_clock::now());
  Chunk chunk = chunk_of(100'000);
  chunk.batch->in_memory_of(*arena_, another);  // which it has had in view: a copy is needed
  // What it lay in is let go in the middle: after the copy was made, before it is given.
  wakened_ = [this] {
    slot_.bury();
    open();
  };
  ASSERT_EQ(slot_.put(chunk), Slot::Put::gone);
  EXPECT_FALSE(wakened_);
  give(std::move(chunk));
  EXPECT_EQ(worker_->payload().size(), 100'000u);
}

TEST_F(SlotControlTest, AReplacementKnowsNoFunction) {
  give(chunk_of(1));
  slot_.bury();
  open();
  give(chunk_of(1));
  EXPECT_EQ(taken_, (std::vector{InboxKind::declare, InboxKind::chunk}));
}

// ---- taking back

TEST_F(SlotControlTest, WhatSurelyRunsIsNotTakenBack) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(0));
  EXPECT_FALSE(slot_.take_back(1).asked);
  EXPECT_TRUE(slot_.running(now_)) << "and stays sure";

  ASSERT_EQ(slot_.put(chunk_of(2)), Slot::Put::sent);
  auto const taken = slot_.take_back(3);
  EXPECT_TRUE(taken.asked);
  EXPECT_EQ(taken.elements, 2u);
  EXPECT_EQ(taken.ended_chunks, 1u);
  EXPECT_TRUE(slot_.running(now_));
}

TEST_F(SlotControlTest, AChunkThatIsCutEndsWithWhatIsLeftOfIt) {
  give(chunk_of(5));
  auto const taken = slot_.take_back(3);
  EXPECT_EQ(taken.ended_chunks, 0u);
  ASSERT_EQ(taken.chunks.size(), 1u);
  EXPECT_EQ(taken.chunks[0].first, 2u);
  EXPECT_EQ(taken.chunks[0].count, 3u);
  answer(0);
  answer(1);
  EXPECT_FALSE(worker_->begin(2));
  worker_->finish_record(true);
  auto const harvest = slot_.collect();
  EXPECT_TRUE(harvest.settled);
  EXPECT_TRUE(harvest.returned.empty());
  // In one record, or in two where they took their time.
  ASSERT_FALSE(harvest.items.empty());
  EXPECT_EQ(harvest.items.back().ended_chunks, 1u);
}

TEST_F(SlotControlTest, WhatWasUndecidedIsReturnedWithTheAcknowledgement) {
  give(chunk_of(100));
  ASSERT_TRUE(worker_->begin(0));
  words().claim.store(64);
  EXPECT_EQ(slot_.take_back(100).elements, 36u);
  worker_->append_value(0, std::as_bytes(std::span("four", 4)), false);
  EXPECT_FALSE(worker_->begin(1));
  EXPECT_TRUE(slot_.collect().returned.empty());
  worker_->finish_record(true);
  auto const harvest = slot_.collect();
  EXPECT_TRUE(harvest.settled);
  EXPECT_EQ(harvest.items.size(), 1u);
  ASSERT_EQ(harvest.returned.size(), 1u);
  EXPECT_EQ(harvest.returned[0].first, 1u);
  EXPECT_EQ(harvest.returned[0].count, 63u);
}

// Outcomes come before the acknowledgement that is seen with them, so each element has one end: its outcome, or
// its return. The worker runs through a chunk that is taken back meanwhile.
TEST_F(SlotControlTest, EachElementIsAnsweredOrReturned) {
  constexpr std::uint64_t rounds = 5'000;
  constexpr std::uint64_t count = 64;
  std::thread worker([&] {
    while (worker_->wait()) {
      channel::InboxHeader const header = worker_->header();
      bool back = false;
      if (header.kind == InboxKind::chunk) {
        for (std::uint64_t i = 0; i < header.count && !back; ++i) {
          back = !worker_->begin(header.serial + i);
          if (!back) {
            worker_->append_value(header.serial + i, std::as_bytes(std::span("four", 4)), false);
          }
        }
      }
      worker_->finish_record(back);
    }
  });
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    ASSERT_EQ(slot_.put(chunk_of(count)), Slot::Put::sent);
    std::uint64_t ended = 0;
    auto const collect = [&] {
      auto const harvest = slot_.collect();
      EXPECT_EQ(harvest.bad, "") << "round " << round;
      for (auto const& item : harvest.items) ended += item.block.count;
      for (Chunk const& chunk : harvest.returned) ended += chunk.count;
      return harvest.settled || !harvest.bad.empty();
    };
    // What is claimed, and not yet answered, is the one to ask for.
    std::uint64_t const start = round * count + round % count;
    while (words().claim.load() <= start && ended < count) collect();
    auto const taken = slot_.take_back(count);
    ended += taken.elements;
    while (taken.asked && !collect()) {
    }
    while (ended < count && !HasFailure()) collect();
    EXPECT_EQ(ended, count) << "round " << round;
  }
  slot_.ask_to_leave();
  worker.join();
}

// ---- ending what runs

TEST_F(SlotControlTest, WhatHasAnOutcomeDoesNotRun) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(0));
  EXPECT_TRUE(slot_.running(now_));
  worker_->append_thrown(0, {});
  // Published ahead of its mark: between the two it looks as if it ran.
  words().done.store(channel::pack_done(0, 0));
  EXPECT_FALSE(slot_.running(now_));
  EXPECT_FALSE(slot_.condemn(sentence_on(0)).condemned);
}

TEST_F(SlotControlTest, WhatMayBeWithdrawnCountsOnlyAfterAWhile) {
  give(chunk_of(100));
  words().claim.store(64);
  EXPECT_EQ(slot_.take_back(100).elements, 36u);
  words().done.store(channel::pack_done(1, 4));  // the next one had been claimed with the first
  EXPECT_FALSE(slot_.running(now_));
  EXPECT_FALSE(slot_.running(now_ + 19ms));
  auto const running = slot_.running(now_ + 20ms);
  ASSERT_TRUE(running);
  EXPECT_EQ(running->element, 1u);
}

TEST_F(SlotControlTest, AnEndMeetsTheElementThatRunsAndNoOther) {
  give(chunk_of(3));
  EXPECT_FALSE(slot_.condemn(sentence_on(0)).condemned) << "nothing runs";
  ASSERT_TRUE(worker_->begin(0));
  EXPECT_FALSE(slot_.condemn(sentence_on(1)).condemned) << "another one runs";
  auto const verdict = slot_.condemn(sentence_on(0));
  EXPECT_TRUE(verdict.condemned);
  EXPECT_EQ(verdict.taken.elements, 2u);
  worker_->append_value(0, std::as_bytes(std::span("four", 4)), false);
  EXPECT_FALSE(worker_->begin(1)) << "it may begin nothing more";
}

// The worker is condemned for what it runs, and runs something else by then: each time that it was, nothing
// behind that element had begun.
TEST_F(SlotControlTest, WhoIsCondemnedHasBegunNothingMore) {
  constexpr std::uint64_t count = 60;
  for (int round = 0; round < support::rounds(1'000, 150); ++round) {
    ASSERT_EQ(slot_.put(chunk_of(count)), Slot::Put::sent);
    take_chunk();
    std::atomic<bool> over{false};
    std::thread worker([&] {
      for (std::uint64_t i = 0; i < count && worker_->begin(i); ++i) {
        // As long as the looks of the other side take: only then may one find it just before its end.
        for (std::uint64_t pause = i * 37 % 30; pause != 0; --pause) os::pause();
        worker_->append_value(i, std::as_bytes(std::span("four", 4)), false);
      }
      over = true;
    });
    Slot::Verdict verdict;
    std::uint64_t serial = 0;
    while (!over && !verdict.condemned) {
      std::uint64_t const claim = words().claim.load();
      if (claim == 0) continue;
      serial = claim - 1;
      verdict = slot_.condemn(sentence_on(serial));
      if (!verdict.condemned && verdict.taken.asked) break;
    }
    worker.join();
    if (verdict.condemned) {
      EXPECT_EQ(words().done.load() >> 32, serial + 1) << "round " << round;
    }
    slot_.bury();
    open();
    if (HasFailure()) return;
  }
}

TEST_F(SlotControlTest, ASentenceIsForTheElementItWasPassedOn) {
  for (bool const cancelled : {false, true}) {
    give(chunk_of(100));
    words().claim.store(64);
    ASSERT_TRUE(slot_.condemn(sentence_on(0, cancelled)).condemned);
    words().done.store(channel::pack_done(1, 4));  // it ended, and the next one runs
    auto const death = slot_.bury();
    EXPECT_FALSE(death.sentence);
    ASSERT_EQ(death.charged.size(), 1u);
    EXPECT_EQ(death.charged[0].first, 1u);
    open();
  }
}

TEST_F(SlotControlTest, WhatIsCondemnedIsChargedWhateverItsMarksSayByThen) {
  give(chunk_of(2));
  ASSERT_TRUE(worker_->begin(0));
  ASSERT_TRUE(slot_.condemn(sentence_on(0)).condemned);
  words().claim.store(0);
  auto const death = slot_.bury();
  EXPECT_TRUE(death.sentence);
  ASSERT_EQ(death.charged.size(), 1u);
  EXPECT_EQ(death.charged[0].first, 0u);
}

}  // namespace
}  // namespace procpool::local
