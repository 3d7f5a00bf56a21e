// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Sending to a worker, revocation, and the element that a kill is for.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "os/spin.hpp"
#include "slot_support.hpp"
#include "support/build.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using TimePoint = Slot::TimePoint;

class SlotControlTest : public SlotTest {
 protected:
  static Slot::KillReason kill_reason_for(std::uint64_t serial, bool cancelled = false) {
    return {serial, std::make_exception_ptr(std::runtime_error("ended")), cancelled};
  }
  // With a deadline, which the dispatcher looks after.
  static Chunk timed_chunk_of(std::uint64_t count) {
    static detail::TaskControl const control{.timeout = 1s};
    detail::TaskOptions options;
    options.control = &control;
    return chunk_of(count, 4, options);
  }
  TimePoint const now_{1h};
};

// The worker was sent elements that were revoked: the serials of the next ones are behind a gap.
struct Gap {
  std::uint64_t elements;
  bool done_before;  // it has done something already
};
std::ostream& operator<<(std::ostream& out, Gap const& gap) {
  return out << gap.elements << (gap.done_before ? " and one before" : "");
}

class BehindAGap : public SlotControlTest, public testing::WithParamInterface<Gap> {
 protected:
  void SetUp() override { make_gap(GetParam()); }
  void make_gap(Gap gap) {
    first_ = gap.elements + (gap.done_before ? 1 : 0);
    if (gap.done_before) {
      give(chunk_of(1));
      answer(0);
      worker_->finish_frame();
      ASSERT_EQ(slot_.collect().outcomes(), 1u);
    }
    skip(gap.elements);
  }
  void open_anew() {
    open();
    make_gap(GetParam());
  }
  std::uint64_t at(std::uint64_t element) const { return first_ + element; }

  std::uint64_t first_ = 0;
};

// ---- giving

TEST_F(SlotControlTest, NothingIsPutUntilARevocationIsAcknowledged) {
  give(chunk_of(3));
  answer(0);
  auto const taken = slot_.revoke(2);
  EXPECT_TRUE(taken.load.revoking);
  EXPECT_EQ(elements_of(taken.returned), 2u);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full);
  EXPECT_FALSE(worker_->begin(1));
  worker_->finish_frame();
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full) << "nobody has seen it";
  auto const collected = slot_.collect();
  EXPECT_NE(collected.load.version, 0u);
  EXPECT_FALSE(collected.load.revoking);
  EXPECT_TRUE(collected.returned.empty());
  EXPECT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent);
}

TEST_F(SlotControlTest, NothingIsPutForAWorkerThatIsToBeKilled) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(0));
  ASSERT_TRUE(slot_.mark_for_kill(kill_reason_for(0)).marked);
  EXPECT_TRUE(slot_.marked_for_kill());
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::full);
  EXPECT_FALSE(slot_.load().writable);
  slot_.reap();
  open();
  EXPECT_FALSE(slot_.marked_for_kill()) << "that was another";
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
  worker_->finish_frame();
  take_chunk();
  EXPECT_EQ(worker_->header().apart, 1u);
}

TEST_F(SlotControlTest, AFunctionThatFoundNoRoomIsRegisteredLater) {
  std::uint64_t chunks = 0;
  Slot::Put put = Slot::Put::sent;
  while ((put = slot_.put(chunk_of(1))) == Slot::Put::sent) ++chunks;
  ASSERT_EQ(put, Slot::Put::full);
  Chunk other = chunk_of(1, 4, {}, another_trampoline);
  ASSERT_EQ(slot_.put(other), Slot::Put::full);
  for (std::uint64_t i = 0; i < chunks; ++i) {
    take_chunk();
    answer(i);
    worker_->finish_frame();
    slot_.collect();
  }
  give(std::move(other));
  EXPECT_EQ(taken_, (std::vector{InboxKind::register_function, InboxKind::chunk}));
}

// While the copy is made the worker may die, and another come, which must not have the first one's memory in view.
TEST_F(SlotControlTest, MemoryThatWasMadeForOneWorkerIsNotGivenToItsReplacement) {
  auto const another = std::make_shared<PeerBuffers>();
  chunk_of(100'000).input->in_memory_of(*buffer_pool_, another);
  buffer_pool_->trimmer().look(std::chrono::steady_clock::now());
  Chunk chunk = chunk_of(100'000);
  chunk.input->in_memory_of(*buffer_pool_, another);  // which it has had in view: a copy is needed
  // What it lay in is let go in the middle: after the copy was made, before it is given.
  wakened_ = [this] {
    slot_.reap();
    open();
  };
  ASSERT_EQ(slot_.put(chunk), Slot::Put::gone);
  EXPECT_FALSE(wakened_);
  give(std::move(chunk));
  EXPECT_EQ(worker_->payload().size(), 100'000u);
}

TEST_F(SlotControlTest, AReplacementKnowsNoFunction) {
  give(chunk_of(1));
  slot_.reap();
  open();
  give(chunk_of(1));
  EXPECT_EQ(taken_, (std::vector{InboxKind::register_function, InboxKind::chunk}));
}

// ---- revocation

TEST_P(BehindAGap, AnElementThatSurelyRunsIsNotRevoked) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_FALSE(slot_.revoke(1).load.revoking);
  EXPECT_TRUE(running(now_)) << "and stays sure";

  ASSERT_EQ(slot_.put(chunk_of(2)), Slot::Put::sent);
  auto const taken = slot_.revoke(3);
  EXPECT_TRUE(taken.load.revoking);
  EXPECT_EQ(elements_of(taken.returned), 2u);
  EXPECT_EQ(taken.load.held.chunks, 1u);
  EXPECT_TRUE(running(now_));
}

TEST_P(BehindAGap, AChunkThatIsCutEndsWithWhatIsLeftOfIt) {
  give(chunk_of(5));
  auto const taken = slot_.revoke(3);
  EXPECT_EQ(taken.load.held.chunks, 1u);
  ASSERT_EQ(taken.returned.size(), 1u);
  EXPECT_EQ(taken.returned[0].first, 2u);
  EXPECT_EQ(taken.returned[0].count, 3u);
  answer(at(0));
  answer(at(1));
  EXPECT_FALSE(worker_->begin(at(2)));
  worker_->finish_frame();
  auto const collected = slot_.collect();
  EXPECT_NE(collected.load.version, 0u);
  EXPECT_FALSE(collected.load.revoking);
  EXPECT_TRUE(collected.returned.empty());
  // In one record, or in two where they took their time.
  ASSERT_FALSE(collected.items.empty());
  EXPECT_EQ(collected.load.held, Amount());
}

TEST_P(BehindAGap, WhatWasUndecidedIsReturnedWithTheAcknowledgement) {
  give(chunk_of(100));
  ASSERT_TRUE(worker_->begin(at(0)));
  words().claim.store(at(64));
  EXPECT_EQ(elements_of(slot_.revoke(100).returned), 36u);
  worker_->append_value(at(0), std::as_bytes(std::span("four", 4)), false);
  EXPECT_FALSE(worker_->begin(at(1)));
  // An outcome that took its time is there at once.
  auto const before = slot_.collect();
  EXPECT_TRUE(before.returned.empty());
  worker_->finish_frame();
  auto const collected = slot_.collect();
  EXPECT_NE(collected.load.version, 0u);
  EXPECT_FALSE(collected.load.revoking);
  EXPECT_EQ(before.items.size() + collected.items.size(), 1u);
  ASSERT_EQ(collected.returned.size(), 1u);
  EXPECT_EQ(collected.returned[0].first, 1u);
  EXPECT_EQ(collected.returned[0].count, 63u);
}

// Outcomes come before the acknowledgement that is seen with them, so each element has one end: its outcome, or
// its return. The worker runs through a chunk that is revoked meanwhile.
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
      worker_->finish_frame();
    }
  });
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    ASSERT_EQ(slot_.put(chunk_of(count)), Slot::Put::sent);
    std::uint64_t ended = 0;
    auto const collect = [&] {
      auto const collected = slot_.collect();
      EXPECT_EQ(collected.bad, "") << "round " << round;
      for (auto const& item : collected.items) ended += item.block.count;
      for (Chunk const& chunk : collected.returned) ended += chunk.count;
      bool const acknowledged = collected.load.version != 0 && !collected.load.revoking;
      return acknowledged || !collected.bad.empty();
    };
    // What is claimed, and not yet answered, is the one to ask for.
    std::uint64_t const start = round * count + round % count;
    while (words().claim.load() <= start && ended < count) collect();
    auto const taken = slot_.revoke(count);
    ended += elements_of(taken.returned);
    while (taken.load.revoking && !collect()) {
    }
    while (ended < count && !HasFailure()) collect();
    EXPECT_EQ(ended, count) << "round " << round;
  }
  slot_.ask_to_leave();
  worker.join();
}

// ---- ending what runs

TEST_P(BehindAGap, WhatHasAnOutcomeDoesNotRun) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_TRUE(running(now_));
  worker_->append_thrown(at(0), {});
  // Published ahead of its mark: between the two it looks as if it ran.
  words().done.store(channel::pack_done(at(0), 0));
  EXPECT_FALSE(running(now_));
  EXPECT_FALSE(slot_.mark_for_kill(kill_reason_for(at(0))).marked);
}

TEST_P(BehindAGap, WhatMayBeWithdrawnCountsOnlyAfterAWhile) {
  give(chunk_of(100));
  words().claim.store(at(64));
  EXPECT_EQ(elements_of(slot_.revoke(100).returned), 36u);
  words().done.store(channel::pack_done(at(1), 4));  // the next one had been claimed with the first
  EXPECT_FALSE(running(now_));
  EXPECT_FALSE(running(now_ + 19ms));
  auto const runs = running(now_ + 20ms);
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->element, 1u);
}

// The thread that looks may have slept between its look at the clock and the one at the worker.
TEST_P(BehindAGap, WhatIsSeenToRunBeganBeforeTheClockWasReadAgain) {
  give(chunk_of(1));
  ASSERT_TRUE(worker_->begin(at(0)));
  time_ = now_;
  sleeps_ = 15ms;  // behind each look at the clock
  auto const runs = slot_.running();
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->since, now_ + 15ms);
  EXPECT_EQ(slot_.running()->since, now_ + 15ms) << "and that stays";
}

TEST_P(BehindAGap, AnEndMeetsTheElementThatRunsAndNoOther) {
  give(chunk_of(3));
  EXPECT_FALSE(slot_.mark_for_kill(kill_reason_for(at(0))).marked) << "nothing runs";
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_FALSE(slot_.mark_for_kill(kill_reason_for(at(1))).marked) << "another one runs";
  auto const kill_result = slot_.mark_for_kill(kill_reason_for(at(0)));
  EXPECT_TRUE(kill_result.marked);
  EXPECT_EQ(elements_of(kill_result.report.returned), 2u);
  worker_->append_value(at(0), std::as_bytes(std::span("four", 4)), false);
  EXPECT_FALSE(worker_->begin(at(1))) << "it may begin nothing more";
}

// The worker is marked for kill for one element, and runs another one by then: each time that it was, nothing
// behind that element had begun.
TEST_F(SlotControlTest, AWorkerMarkedForKillHasBegunNothingMore) {
  constexpr std::uint64_t count = 60;
  for (int round = 0; round < support::rounds(1'000, 150); ++round) {
    std::uint64_t const first = std::array{0u, 1u, 64u, 1'000u}.at(round % 4);
    skip(first);
    ASSERT_EQ(slot_.put(chunk_of(count)), Slot::Put::sent);
    take_chunk();
    std::atomic<bool> over{false};
    std::thread worker([&] {
      for (std::uint64_t i = first; i < first + count && worker_->begin(i); ++i) {
        // As long as the looks of the other side take: only then may one find it just before its end.
        for (std::uint64_t pause = i * 37 % 30; pause != 0; --pause) os::pause();
        worker_->append_value(i, std::as_bytes(std::span("four", 4)), false);
      }
      over = true;
    });
    Slot::KillResult kill_result;
    std::uint64_t serial = 0;
    while (!over && !kill_result.marked) {
      std::uint64_t const claim = words().claim.load();
      if (claim <= first) continue;
      serial = claim - 1;
      kill_result = slot_.mark_for_kill(kill_reason_for(serial));
      if (!kill_result.marked && kill_result.report.load.revoking) break;
    }
    worker.join();
    if (kill_result.marked) {
      EXPECT_EQ(words().done.load() >> 32, serial + 1) << "round " << round;
    }
    slot_.reap();
    open();
    if (HasFailure()) return;
  }
}

TEST_P(BehindAGap, AKillReasonIsForItsElementOnly) {
  for (bool const cancelled : {false, true}) {
    give(chunk_of(100));
    words().claim.store(at(64));
    ASSERT_TRUE(slot_.mark_for_kill(kill_reason_for(at(0), cancelled)).marked);
    words().done.store(channel::pack_done(at(1), 4));  // it ended, and the next one runs
    auto const death = slot_.reap();
    EXPECT_FALSE(death.kill_reason);
    ASSERT_EQ(death.attributed.size(), 1u);
    EXPECT_EQ(death.attributed[0].first, 1u);
    open_anew();
  }
}

TEST_P(BehindAGap, AnElementThatIsKilledIsTheCauseWhateverTheMarksSayByThen) {
  give(chunk_of(2));
  ASSERT_TRUE(worker_->begin(at(0)));
  ASSERT_TRUE(slot_.mark_for_kill(kill_reason_for(at(0))).marked);
  words().claim.store(0);
  auto const death = slot_.reap();
  EXPECT_TRUE(death.kill_reason);
  ASSERT_EQ(death.attributed.size(), 1u);
  EXPECT_EQ(death.attributed[0].first, 0u);
}

// Another revocation is under way, which has left more to the worker.
TEST_P(BehindAGap, AWorkerMarkedForKillBeginsNothingThatAnotherRevocationHasLeft) {
  give(chunk_of(10));
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_EQ(elements_of(slot_.revoke(5).returned), 5u);
  auto const kill_result = slot_.mark_for_kill(kill_reason_for(at(0)));
  EXPECT_TRUE(kill_result.marked);
  EXPECT_EQ(elements_of(kill_result.report.returned), 4u);
  worker_->append_value(at(0), std::as_bytes(std::span("four", 4)), false);
  EXPECT_FALSE(worker_->begin(at(1)));
  auto const death = slot_.reap();
  EXPECT_TRUE(death.attributed.empty()) << "it had ended, and nothing else had begun";
  EXPECT_EQ(death.report.outcomes(), 1u);
}

TEST_P(BehindAGap, ASecondRevocationAllowsNothingThatTheFirstForbade) {
  give(chunk_of(100));
  words().claim.store(at(64));
  EXPECT_EQ(elements_of(slot_.revoke(100).returned), 36u);
  slot_.revoke(10);
  answer(at(0));
  EXPECT_FALSE(worker_->begin(at(1))) << "which may have been withdrawn already";
}

TEST_P(BehindAGap, WhatListensIsAskedToStop) {
  give(chunk_of(2));
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_FALSE(slot_.ask_to_stop(at(0))) << "it does not listen";
  worker_->listen(at(0));
  auto const runs = running(now_);
  ASSERT_TRUE(runs);
  EXPECT_FALSE(slot_.ask_to_stop(at(1)));
  EXPECT_FALSE(worker_->asked_to_stop(at(1)));
  EXPECT_TRUE(slot_.ask_to_stop(runs->serial));
  EXPECT_TRUE(worker_->asked_to_stop(at(0)));
  EXPECT_EQ(worker_->wait_until_asked(0), at(1));
}

// ---- stalls

TEST_P(BehindAGap, AWorkerThatRunsIsNotStalled) {
  give(timed_chunk_of(2));
  for (std::uint64_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(worker_->begin(at(i)));
    for (auto const later : {0ms, 999ms, 1'001ms, 60'000ms}) {
      auto const runs = running(now_ + later);
      ASSERT_TRUE(runs) << "element " << i << " after " << later.count() << " ms";
      EXPECT_EQ(runs->element, i);
    }
    worker_->append_value(at(i), std::as_bytes(std::span("four", 4)), false);
    slot_.collect();  // it is published already if the worker took its time
  }
  EXPECT_FALSE(slot_.marked_for_kill());
}

TEST_P(BehindAGap, AWorkerThatBeginsNothingIsStalledAndNothingIsItsCause) {
  ASSERT_EQ(slot_.put(timed_chunk_of(3)), Slot::Put::sent);
  EXPECT_FALSE(running(now_));
  EXPECT_FALSE(running(now_ + 999ms));
  EXPECT_FALSE(slot_.marked_for_kill());
  EXPECT_FALSE(running(now_ + 1s));
  EXPECT_TRUE(slot_.marked_for_kill());
  take_chunk();
  EXPECT_FALSE(worker_->begin(at(0))) << "it may begin nothing more";
  auto const death = slot_.reap();
  EXPECT_TRUE(death.attributed.empty());
  ASSERT_EQ(death.report.returned.size(), 1u);
  EXPECT_EQ(death.report.returned[0].count, 3u);
}

// It begins the element at the last moment: then it is looked at again.
TEST_P(BehindAGap, AWorkerThatBeginsAtTheLastMomentIsNotStalled) {
  give(timed_chunk_of(3));
  EXPECT_FALSE(running(now_));
  words().done.store(channel::pack_done(at(1), 0));  // as it looks between two looks at the marks
  ASSERT_TRUE(worker_->begin(at(0)));
  EXPECT_FALSE(running(now_ + 1s));
  EXPECT_FALSE(slot_.marked_for_kill());
  words().done.store(channel::pack_done(at(0), 0));
  running(now_ + 1s);
  EXPECT_TRUE(running(now_ + 1s + 20ms));
  EXPECT_FALSE(slot_.marked_for_kill());
}

// A revocation is under way that has left it the element: it must not begin that when it is to be killed.
TEST_P(BehindAGap, AStalledWorkerBeginsNothingThatAnotherRevocationHasLeft) {
  ASSERT_EQ(slot_.put(timed_chunk_of(10)), Slot::Put::sent);
  EXPECT_EQ(elements_of(slot_.revoke(5).returned), 5u);
  EXPECT_FALSE(running(now_));
  EXPECT_FALSE(running(now_ + 1s));
  EXPECT_TRUE(slot_.marked_for_kill());
  take_chunk();
  EXPECT_FALSE(worker_->begin(at(0)));
  EXPECT_TRUE(slot_.reap().attributed.empty());
}

// ---- deaths

TEST_P(BehindAGap, TheCauseOfADeathIsTheElementThatRanAndNoOther) {
  for (std::uint64_t position = 0; position < 3; ++position) {
    give(chunk_of(3));
    for (std::uint64_t i = 0; i < position; ++i) answer(at(i));
    ASSERT_TRUE(worker_->begin(at(position)));
    auto const death = slot_.reap();
    EXPECT_EQ(death.bad, "");
    std::uint64_t values = 0;
    for (auto const& item : death.report.items) values += item.block.count;
    EXPECT_EQ(values, position);
    ASSERT_EQ(death.attributed.size(), 1u);
    EXPECT_EQ(death.attributed[0].first, position);
    EXPECT_EQ(death.attributed[0].count, 1u);
    open_anew();
  }
}

TEST_P(BehindAGap, ADeathBeforeTheNextElementHasNoCause) {
  give(chunk_of(3));
  auto const death = slot_.reap();
  EXPECT_EQ(death.bad, "");
  EXPECT_TRUE(death.attributed.empty());
  ASSERT_EQ(death.report.returned.size(), 1u);
  EXPECT_EQ(death.report.returned[0].count, 3u);
}

INSTANTIATE_TEST_SUITE_P(Of, BehindAGap,
                         testing::Values(Gap{0, false}, Gap{1, false}, Gap{63, false},
                                         Gap{64, false}, Gap{65, false}, Gap{1'000, false},
                                         Gap{0, true}, Gap{1, true}, Gap{63, true}, Gap{64, true},
                                         Gap{65, true}, Gap{1'000, true}));

}  // namespace
}  // namespace procpool::parent
