// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Frames that are put into a channel arrive, claimed elements cannot be revoked, and the words of a dead
// worker are read right.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace procpool::channel {
namespace {

TEST_F(ChannelTest, FramesArriveInOrderWithTheirPayload) {
  EXPECT_EQ(put(1, "one"), 0u);
  EXPECT_EQ(put(3, "two"), 1u);
  EXPECT_EQ(put(1, ""), 4u);
  for (auto const& [count, payload] : {std::pair{1u, "one"}, {3u, "two"}, {1u, ""}}) {
    ASSERT_TRUE(worker_->wait());
    EXPECT_EQ(worker_->header().count, count);
    EXPECT_EQ(text_of(worker_->payload()), payload);
    worker_->finish_frame();
  }
}

TEST_F(ChannelTest, FramesOfAllSizesSurviveTheWrap) {
  std::string const pattern(inline_limit(ring_bytes), 'x');
  for (std::size_t round = 0; round < 200; ++round) {
    std::string payload = pattern.substr(0, (round * 997) % pattern.size());
    payload += static_cast<char>('a' + round % 26);
    put(1, payload);
    ASSERT_TRUE(worker_->wait());
    ASSERT_EQ(text_of(worker_->payload()), payload);
    ASSERT_TRUE(worker_->begin(worker_->header().serial));
    worker_->append_value(worker_->header().serial, bytes_of(payload).first(payload.size() / 2),
                          false);
    worker_->finish_frame();
    auto const arrival = parent_.next();
    ASSERT_TRUE(arrival);
    ASSERT_EQ(text_of(arrival->payload), payload.substr(0, payload.size() / 2));
    parent_.taken();
    ASSERT_FALSE(parent_.next());
  }
}

TEST_F(ChannelTest, TheResultsOfAChunkComeInOneFrame) {
  put(5);
  EXPECT_EQ(run("r"), 5u);
  auto const arrival = parent_.next();
  ASSERT_TRUE(arrival);
  EXPECT_EQ(arrival->header.serial, 0u);
  EXPECT_EQ(arrival->header.count, 5u);
  EXPECT_EQ(text_of(arrival->payload), "rrrrr");
  EXPECT_FALSE(parent_.next());
}

TEST_F(ChannelTest, AThrownElementHasAFrameOfItsOwn) {
  put(3);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  worker_->append_value(0, bytes_of("v"), false);
  ASSERT_TRUE(worker_->begin(1));
  worker_->append_thrown(1, bytes_of("error"));
  ASSERT_TRUE(worker_->begin(2));
  worker_->append_value(2, bytes_of("w"), false);
  worker_->finish_frame();
  auto const first = parent_.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->header.kind, OutboxKind::values);
  EXPECT_EQ(first->header.count, 1u);
  auto const second = parent_.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->header.kind, OutboxKind::thrown);
  EXPECT_EQ(text_of(second->payload), "error");
  auto const third = parent_.next();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->header.serial, 2u);
}

TEST_F(ChannelTest, AFullOutboxMakesTheWorkerWaitForTheParent) {
  std::string const big(inline_limit(ring_bytes) - 64, 'b');
  put(20);
  std::thread worker([&] { run(big); });
  std::uint64_t elements = 0;
  while (elements < 20) {
    while (auto const arrival = parent_.next()) elements += arrival->header.count;
    parent_.taken();
  }
  worker.join();
  EXPECT_EQ(elements, 20u);
}

TEST_F(ChannelTest, AParkedWorkerIsWoken) {
  for (int round = 0; round < 2000; ++round) {
    std::thread parent;
    if (round % 2 == 0) {
      parent = std::thread([&] { put(1); });
    } else {
      put(1);
    }
    run("r");
    if (parent.joinable()) parent.join();
    ASSERT_TRUE(parent_.next());
    parent_.taken();
  }
}

TEST_F(ChannelTest, AParkedWorkerIsNotifiedOncePerSleep) {
  auto const rings = [&] { return parents_words().doorbell.load(); };
  put(1);
  EXPECT_EQ(rings(), 0u);  // it is awake
  words().parked = 2;
  put(1);
  put(1);
  EXPECT_EQ(rings(), 1u);
  words().parked = 4;  // its next sleep
  put(1);
  put(1);
  parent_.revoke(0);
  EXPECT_EQ(rings(), 2u);
  words().parked = 0;
  put(1);
  EXPECT_EQ(rings(), 2u);
  words().parked = 6;
  parent_.revoke(0);
  EXPECT_EQ(rings(), 3u);
  parent_.ask_to_leave();  // always
  EXPECT_EQ(rings(), 4u);
}

TEST_F(ChannelTest, OnlyASleepForRoomEndsWhenSomethingIsTaken) {
  words().parked = 2;
  parent_.taken();
  EXPECT_EQ(parents_words().doorbell.load(), 0u);
  words().parked = 4 | for_room;
  parent_.taken();
  parent_.taken();
  EXPECT_EQ(parents_words().doorbell.load(), 1u);
}

// Woken for one frame, it finds the later ones, without a notification each, before it sleeps again.
TEST_F(ChannelTest, AStormWakesAParkedWorkerForAllOfIt) {
  constexpr std::uint64_t storms = 2000;
  constexpr std::uint64_t records = 5;
  std::thread worker([&] {
    for (std::uint64_t i = 0; i < storms * records; ++i) run("r");
  });
  std::uint64_t answered = 0;
  for (std::uint64_t storm = 1; storm <= storms; ++storm) {
    for (std::uint64_t i = 0; i < records; ++i) put(1);
    while (answered < storm * records) {
      while (auto const arrival = parent_.next()) answered += arrival->header.count;
      parent_.taken();
    }
  }
  worker.join();
  EXPECT_EQ(answered, storms * records);
}

TEST_F(ChannelTest, TheWorkerLeavesOnlyWithAnEmptyInbox) {
  put(1);
  parent_.ask_to_leave();
  EXPECT_EQ(run("r"), 1u);
  EXPECT_FALSE(worker_->wait());
}

TEST_F(ChannelTest, AParkedParentIsNotifiedOncePerSleep) {
  put(1);
  put(1);
  put(1);
  parent_.park(7);
  EXPECT_FALSE(parent_.news());
  run("r");
  run("r");
  EXPECT_TRUE(parent_.news());
  EXPECT_EQ(event_.drain(), 1u);
  parent_.park(8);
  run("r");
  EXPECT_EQ(event_.drain(), 1u);
}

TEST_F(ChannelTest, AShortPollEndsEarlyOnlyIfTheWorkerCouldNotGoOn) {
  std::string const quarter(inline_limit(ring_bytes), 'x');
  put(1);
  put(1);
  put(1);
  EXPECT_FALSE(parent_.begin_short_poll(7));
  run(quarter);
  EXPECT_EQ(event_.drain(), 0u);
  run(quarter);  // half of the ring is full
  EXPECT_EQ(event_.drain(), 1u);
  run("r");
  EXPECT_EQ(event_.drain(), 0u) << "once per short poll";
  while (parent_.next()) {
  }
  parent_.taken();

  put(1);
  EXPECT_FALSE(parent_.begin_short_poll(8));
  run("r");
  EXPECT_EQ(event_.drain(), 0u);
  std::thread worker([&] { EXPECT_FALSE(worker_->wait()); });
  while (words().parked.load() == 0) {  // it has nothing more to do
  }
  while (event_.drain() == 0) {
  }
  EXPECT_TRUE(parent_.begin_short_poll(9)) << "what a sleeping worker has left, nobody rings for";
  parent_.ask_to_leave();
  worker.join();
}

// A parent may wait for the worker's cursor alone, if no outcome comes.
TEST_F(ChannelTest, AFrameWithoutOutcomeNotifiesAParentThatWaitsForItsEnd) {
  // The outcome was published in a frame of its own, with a notification. The later revocation is still
  // to be acknowledged.
  put(1);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  parent_.park(7);
  worker_->append_thrown(0, bytes_of("error"));
  EXPECT_EQ(event_.drain(), 1u);
  ASSERT_TRUE(parent_.next());
  parent_.taken();
  parent_.revoke(0);
  parent_.park(8);
  EXPECT_FALSE(parent_.news());
  worker_->finish_frame();
  EXPECT_EQ(event_.drain(), 1u);
  EXPECT_TRUE(parent_.acknowledged());

  // Without a revocation there is nothing to notify of.
  put(1);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(1));
  worker_->append_thrown(1, bytes_of("error"));
  parent_.park(9);
  worker_->finish_frame();
  EXPECT_EQ(event_.drain(), 0u);

  // Nor of a frame without elements, whatever lies behind it.
  parent_.put_registration(0, {bytes_of("code")});
  parent_.put_resource({1, 1, 0, 0}, {bytes_of("value")});
  parent_.publish();
  parent_.park(10);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(worker_->wait());
    worker_->finish_frame();
  }
  EXPECT_EQ(event_.drain(), 0u);
}

// What found no chunk behind it any more is not the business of a revocation.
TEST_F(ChannelTest, ARevocationIsAcknowledgedAtTheLastChunk) {
  put(1);
  parent_.put_registration(0, {bytes_of("code")});
  parent_.publish();
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  EXPECT_EQ(parent_.revoke(0), 1u);
  EXPECT_FALSE(parent_.acknowledged());
  parent_.park(7);
  worker_->append_value(0, bytes_of("r"), false);
  worker_->finish_frame();
  EXPECT_EQ(event_.drain(), 1u);
  EXPECT_TRUE(parent_.news());
  EXPECT_TRUE(parent_.acknowledged());
}

// ---- revoking

TEST_F(ChannelTest, ARevokedElementDoesNotRun) {
  put(10);
  EXPECT_EQ(parent_.revoke(4), 4u);
  EXPECT_FALSE(parent_.acknowledged());
  EXPECT_EQ(run("r"), 4u);
  EXPECT_TRUE(parent_.acknowledged());
  auto const arrival = parent_.next();
  ASSERT_TRUE(arrival);
  EXPECT_EQ(arrival->header.count, 4u);
  EXPECT_FALSE(parent_.next());
  // Serials go on behind the revoked ones.
  EXPECT_EQ(put(2), 10u);
  EXPECT_EQ(run("s"), 2u);
}

TEST_F(ChannelTest, AClaimedElementIsNotRevoked) {
  put(10);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  worker_->append_value(0, bytes_of("r"), false);
  ASSERT_TRUE(worker_->begin(1));
  EXPECT_EQ(parent_.revoke(0), 2u);  // 1 is claimed, 2 is the first that never begins
  worker_->append_value(1, bytes_of("r"), false);
  EXPECT_FALSE(worker_->begin(2));
  worker_->finish_frame();
  EXPECT_TRUE(parent_.acknowledged());
  EXPECT_EQ(parent_.next()->header.count, 2u);
}

TEST_F(ChannelTest, ARevocationOverSeveralFramesEndsThemAll) {
  put(2);
  put(2);
  put(2);
  EXPECT_EQ(parent_.revoke(1), 1u);
  EXPECT_EQ(run("r"), 1u);
  EXPECT_FALSE(parent_.acknowledged());
  EXPECT_EQ(run("r"), 0u);
  EXPECT_EQ(run("r"), 0u);
  EXPECT_TRUE(parent_.acknowledged());
}

TEST_F(ChannelTest, BothSidesNeverHaveAnElement) {
  race_for_elements(
      [&](InboxHeader const& header) {
        std::uint64_t i = 0;
        while (i < header.count && worker_->begin(header.serial + i)) {
          worker_->append_value(header.serial + i, bytes_of("r"), false);
          ++i;
        }
        return i;
      },
      // Only the undecided element, if there is one, may not have run.
      [](std::uint64_t from, std::uint64_t cut) { return cut > from ? cut - 1 : cut; });
}

using ChannelBehindAGap = BehindAGap<ChannelTest>;

TEST_P(ChannelBehindAGap, TheRunningElementIsCertainOnlyBelowALimitThatWasNeverLower) {
  auto const running = [this] { return parent_.running(first_); };
  EXPECT_FALSE(running());
  put(100);
  EXPECT_FALSE(running());
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(at(0)));
  ASSERT_TRUE(running());
  EXPECT_EQ(running()->serial, at(0));
  EXPECT_TRUE(running()->sure);
  parent_.revoke(at(0));
  ASSERT_TRUE(running());
  EXPECT_FALSE(running()->sure) << "it may be about to be withdrawn";
  EXPECT_EQ(parent_.revoke(at(50)), at(1));
  EXPECT_FALSE(running()->sure) << "the limit was raised ahead of the acknowledgement";
  EXPECT_EQ(parents_words().limit.load(), at(0));
  // An impossible claim is no running element.
  for (std::uint64_t const claim : {std::uint64_t{0}, at(max_claimed + 1), at(101)}) {
    words().claim.store(claim);
    EXPECT_FALSE(running()) << claim;
  }
  words().claim.store(at(1));
  words().done.store(pack_done(at(2), 0));  // ahead of the claim
  EXPECT_FALSE(running());
}

TEST_P(ChannelBehindAGap, AfterAThrownElementTheNextOneRuns) {
  put(2);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(at(0)));
  worker_->append_thrown(at(0), bytes_of("error"));
  ASSERT_TRUE(parent_.next());
  parent_.taken();
  EXPECT_FALSE(parent_.running(at(1)));
  // Published before its mark.
  words().done.store(pack_done(at(0), 0));
  EXPECT_FALSE(parent_.running(at(1)));
  words().done.store(pack_done(at(1), 0));
  ASSERT_TRUE(worker_->begin(at(1)));
  ASSERT_TRUE(parent_.running(at(1)));
  EXPECT_EQ(parent_.running(at(1))->serial, at(1));
}

// In an open frame the first element that is not done is the running one.
TEST_P(ChannelBehindAGap, TheRunningElementIsBehindTheDoneOnes) {
  put(3);
  ASSERT_TRUE(worker_->wait());
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(worker_->begin(at(i)));
    auto const running = parent_.running(first_);
    ASSERT_TRUE(running);
    EXPECT_EQ(running->serial, at(i));
    worker_->append_value(at(i), bytes_of("r"), false);
  }
}

// ---- being asked to stop

TEST_F(ChannelTest, AThreadThatWaitsForARequestToStopIsWoken) {
  std::uint64_t seen = 0;
  for (std::uint64_t serial = 0; serial < 2000; ++serial) {
    std::thread waiter([&] { seen = worker_->wait_until_asked(serial); });
    // Now and then it is asleep already.
    if (serial % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    parent_.ask_to_stop(serial);
    waiter.join();
    ASSERT_EQ(seen, serial + 1);
    EXPECT_TRUE(worker_->asked_to_stop(serial));
    EXPECT_FALSE(worker_->asked_to_stop(serial + 1));
  }
  EXPECT_EQ(worker_->wait_until_asked(0), seen) << "it was asked before it waited";
}

// ---- deaths

TEST_P(ChannelBehindAGap, ADeathBeforeAnythingBeganLeavesAll) {
  put(5);
  auto const remains = parent_.remains(first_, 5);
  EXPECT_TRUE(remains.believable);
  EXPECT_EQ(remains.done, 0u);
  EXPECT_FALSE(remains.begun);
}

TEST_P(ChannelBehindAGap, ADeathInTheMiddleKeepsTheDoneAndBlamesTheBegun) {
  for (std::uint64_t position = 0; position < 7; ++position) {
    std::uint64_t const first = put(7);
    run("ok", position);
    ASSERT_TRUE(worker_->begin(first + position));  // ... and then it dies
    ASSERT_FALSE(parent_.next());
    auto const remains = parent_.remains(first, 7);
    EXPECT_TRUE(remains.believable);
    EXPECT_EQ(remains.done, position);
    EXPECT_TRUE(remains.begun);
    std::string expected;
    for (std::uint64_t i = 0; i < position; ++i) expected += "ok";
    EXPECT_EQ(text_of(remains.payload), expected);
    // The next round begins where a live worker would be.
    for (std::uint64_t i = position; i < 7; ++i) {
      ASSERT_TRUE(worker_->begin(first + i));
      worker_->append_value(first + i, bytes_of("ok"), false);
    }
    worker_->finish_frame();
    while (parent_.next()) {
    }
    parent_.taken();
  }
}

TEST_P(ChannelBehindAGap, ADeathBetweenAnOutcomeAndTheNextClaimBlamesNone) {
  put(3);
  run("r", 2);
  auto const remains = parent_.remains(first_, 3);
  EXPECT_EQ(remains.done, 2u);
  EXPECT_FALSE(remains.begun);
}

TEST_P(ChannelBehindAGap, ADeathAfterAThrownFrameFindsTheOpenFrameEmpty) {
  put(3);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(at(0)));
  worker_->append_thrown(at(0), bytes_of("error"));
  ASSERT_TRUE(parent_.next());
  auto const remains = parent_.remains(at(1), 2);
  EXPECT_TRUE(remains.believable);
  EXPECT_EQ(remains.done, 0u);
  EXPECT_FALSE(remains.begun);
}

TEST_F(ChannelTest, ADeathBeforeTheLookAtTheLimitBlamesNone) {
  put(10);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  EXPECT_EQ(parent_.revoke(0), 1u);  // so one of them is left
  worker_->append_value(0, bytes_of("r"), false);
  for (std::uint64_t const claimed : {std::uint64_t{2}, std::uint64_t{10}}) {
    words().claim.store(claimed);  // ... and then it dies
    auto const remains = parent_.remains(0, 1);
    EXPECT_TRUE(remains.believable);
    EXPECT_EQ(remains.done, 1u);
    EXPECT_FALSE(remains.begun);
  }
  words().claim.store(11);
  EXPECT_FALSE(parent_.remains(0, 1).believable) << "it was never given so many";
  // Withdrawn, and acknowledged: the next claim is that of another element.
  words().claim.store(1);
  worker_->finish_frame();
  EXPECT_TRUE(parent_.acknowledged());
  words().claim.store(2);
  EXPECT_FALSE(parent_.remains(0, 1).believable);
}

TEST_P(ChannelBehindAGap, ADeathInAFullFrameKeepsAllOfIt) {
  put(5);
  run("ok", 5);
  while (parent_.next()) FAIL() << "it is open";
  auto const remains = parent_.remains(first_, 5);
  EXPECT_TRUE(remains.believable);
  EXPECT_EQ(remains.done, 5u);
  EXPECT_FALSE(remains.begun);
  EXPECT_EQ(text_of(remains.payload), "okokokokok");
}

INSTANTIATE_TEST_SUITE_P(Channel, ChannelBehindAGap, each_gap());

}  // namespace
}  // namespace procpool::channel
