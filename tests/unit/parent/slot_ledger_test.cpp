// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a worker says is held against the ledger of what it was given: each lie is told by itself, with everything
// around it as it should be. And what a dead worker leaves is resolved, attributed or returned, each element once.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "os/memfd.hpp"
#include "slot_support.hpp"

namespace procpool::parent {
namespace {

using channel::OutboxHeader;
using channel::OutboxKind;
using channel::Where;

OutboxHeader outcome_header(std::uint64_t serial, std::uint64_t count, std::uint64_t size) {
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.serial = serial;
  header.count = count;
  header.size = size;
  return header;
}

class SlotLedgerTest : public SlotTest {
 protected:
  // A large result, in a file.
  void publish_large(std::uint64_t size) {
    OutboxHeader header = outcome_header(0, 1, size);
    header.where = Where::file;
    publish(header, 0);
  }
  static os::Memfd file_of(std::uint64_t size, int seals) {
    os::Memfd file = os::Memfd::create("large", size);
    if (seals != 0) file.seal(seals);
    return file;
  }
  static constexpr int proper = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
};

// ---- outcomes

TEST_F(SlotLedgerTest, AFrameAsItShouldBeIsTaken) {
  give(chunk_of(3));
  publish(outcome_header(0, 2, 8), 8);
  auto const collected = slot_.collect();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(collected.items[0].block.count, 2u);
  EXPECT_EQ(collected.load.held.elements, 1u);
}

TEST_F(SlotLedgerTest, AStateComesWithItsOutcomeAndIsNoPartOfIt) {
  slot_.keep_checkpoints(true);
  give(chunk_of(3));
  EXPECT_FALSE(slot_.checkpoint());
  auto header = outcome_header(0, 1, 4 + 10);
  header.state = 10;
  publish(header, 4 + 10);
  auto const collected = slot_.collect();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(collected.items[0].block.payload.size(), 4u);
  ASSERT_TRUE(slot_.checkpoint());
  EXPECT_EQ(slot_.checkpoint()->state.size(), 10u);
  static_cast<void>(slot_.reap());
  EXPECT_EQ(slot_.checkpoint()->state.size(), 10u);  // for the next worker
  slot_.keep_checkpoints(false);
  EXPECT_FALSE(slot_.checkpoint());
}

TEST_F(SlotLedgerTest, AStateOfWhoIsNoActorIsRefused) {
  give(chunk_of(1));
  auto header = outcome_header(0, 1, 4 + 10);
  header.state = 10;
  publish(header, 4 + 10);
  expect_refused("a state came from no actor");
  EXPECT_FALSE(slot_.checkpoint());
}

TEST_F(SlotLedgerTest, AStateLargerThanItsFrameIsRefused) {
  slot_.keep_checkpoints(true);
  give(chunk_of(1));
  auto header = outcome_header(0, 1, 4);
  header.state = 8;
  publish(header, 4);
  expect_refused("a state of 8 bytes came with 1 outcomes of 4");
}

TEST_F(SlotLedgerTest, AStateOfSeveralOutcomesIsRefused) {
  slot_.keep_checkpoints(true);
  give(chunk_of(2));
  auto header = outcome_header(0, 2, 8 + 8);
  header.state = 8;
  publish(header, 16);
  expect_refused("a state of 8 bytes came with 2 outcomes");
}

TEST_F(SlotLedgerTest, AStateInPlaceOfTheResultIsRefused) {
  slot_.keep_checkpoints(true);
  give(chunk_of(1));
  auto header = outcome_header(0, 1, 8);
  header.state = 8;
  publish(header, 8);
  expect_refused("results of 0 bytes");
}

TEST_F(SlotLedgerTest, AnOutcomeThatIsNotOwedIsRefused) {
  publish(outcome_header(0, 1, 4), 4);
  expect_refused("where none is owed");
}

TEST_F(SlotLedgerTest, AnOutcomeOfOtherElementsIsRefused) {
  give(chunk_of(3));
  publish(outcome_header(1, 1, 4), 4);
  expect_refused("an outcome came for elements 1 + 1 where 0 + 3 are owed");
}

TEST_F(SlotLedgerTest, AnOutcomeOfNoElementIsRefused) {
  give(chunk_of(3));
  publish(outcome_header(0, 0, 0), 0);
  expect_refused("an outcome came for elements 0 + 0");
}

TEST_F(SlotLedgerTest, AnOutcomeOfMoreElementsThanAreOwedIsRefused) {
  give(chunk_of(3));
  publish(outcome_header(0, 4, 16), 16);
  expect_refused("an outcome came for elements 0 + 4");
}

TEST_F(SlotLedgerTest, AFrameForOneElementIsOfOne) {
  give(chunk_of(3));
  OutboxHeader header = outcome_header(0, 2, 8);
  header.kind = OutboxKind::thrown;
  publish(header, 8);
  expect_refused("a frame for one element came for 2");
}

TEST_F(SlotLedgerTest, ALargeResultIsOfOneElement) {
  give(chunk_of(3, 0));
  os::Memfd const file = file_of(100'000, proper);
  send(0, {file.fd()});
  OutboxHeader header = outcome_header(0, 2, 100'000);
  header.where = Where::file;
  publish(header, 0);
  expect_refused("a frame for one element came for 2");
}

TEST_F(SlotLedgerTest, ResultsOfAnotherSizeThanTheyHaveAreRefused) {
  give(chunk_of(3));
  publish(outcome_header(0, 2, 9), 9);
  expect_refused("results of 9 bytes came where 2 of 4 are owed");
}

TEST_F(SlotLedgerTest, ALargeResultAsItShouldBeIsTaken) {
  give(chunk_of(1, 0));
  os::Memfd const file = file_of(100'000, proper);
  send(0, {file.fd()});
  publish_large(100'000);
  auto const collected = slot_.collect();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(collected.items[0].block.payload.bytes().size(), 100'000u);
}

TEST_F(SlotLedgerTest, ALargeResultThatIsNotSealedIsRefused) {
  for (int const seals : {0, F_SEAL_WRITE, F_SEAL_SHRINK}) {
    give(chunk_of(1, 0));
    os::Memfd const file = file_of(100'000, seals);
    send(0, {file.fd()});
    publish_large(100'000);
    expect_refused("not sealed");
    slot_.reap();
    open();
  }
}

TEST_F(SlotLedgerTest, ALargeResultShorterThanItIsSaidToBeIsRefused) {
  give(chunk_of(1, 0));
  os::Memfd const file = file_of(100'000, proper);
  send(0, {file.fd()});
  publish_large(100'001);
  expect_refused("shorter than its frame says");
}

TEST_F(SlotLedgerTest, ALargeResultComesWithOneDescriptor) {
  os::Memfd const file = file_of(100'000, proper);
  for (std::vector<int> const& descriptors :
       {std::vector<int>{}, std::vector<int>{file.fd(), file.fd()}}) {
    give(chunk_of(1, 0));
    send(0, descriptors);
    publish_large(100'000);
    expect_refused("without its descriptor");
    slot_.reap();
    open();
  }
  give(chunk_of(1, 0));
  publish_large(100'000);
  expect_refused("without its descriptor");
}

TEST_F(SlotLedgerTest, ALargeResultComesWithTheDescriptorOfItsElement) {
  os::Memfd const file = file_of(100'000, proper);
  give(chunk_of(1, 0));
  send(1, {file.fd()});
  publish_large(100'000);
  expect_refused("the descriptor of another one");
}

// ---- after a death

TEST_F(SlotLedgerTest, ADeathReturnsWhatHadNotBegun) {
  give(chunk_of(3));
  ASSERT_EQ(slot_.put(chunk_of(2)), Slot::Put::sent);
  auto const death = slot_.reap();
  EXPECT_EQ(death.bad, "");
  EXPECT_TRUE(death.attributed.empty());
  EXPECT_FALSE(death.poison);
  EXPECT_FALSE(death.useful);
  ASSERT_EQ(death.report.returned.size(), 2u);
  EXPECT_EQ(death.report.returned[0].count, 3u);
  EXPECT_EQ(death.report.returned[0].attempt_deaths, 1u);
  EXPECT_EQ(death.report.returned[1].count, 2u);
  EXPECT_EQ(death.report.returned[1].attempt_deaths, 0u);
}

TEST_F(SlotLedgerTest, TheCauseOfADeathIsTheElementThatHadBegun) {
  give(chunk_of(3));
  answer(0);
  ASSERT_TRUE(worker_->begin(1));
  auto const death = slot_.reap();
  EXPECT_EQ(death.bad, "");
  ASSERT_EQ(death.report.items.size(), 1u);
  EXPECT_EQ(death.report.items[0].block.first, 0u);
  EXPECT_EQ(death.report.items[0].block.count, 1u);
  ASSERT_EQ(death.attributed.size(), 1u);
  EXPECT_EQ(death.attributed[0].first, 1u);
  EXPECT_EQ(death.attributed[0].count, 1u);
  ASSERT_EQ(death.report.returned.size(), 1u);
  EXPECT_EQ(death.report.returned[0].first, 2u);
  EXPECT_EQ(death.report.returned[0].count, 1u);
  EXPECT_TRUE(death.useful);
}

TEST_F(SlotLedgerTest, WhatCameBeforeADeathIsKept) {
  give(chunk_of(1));
  answer(0);
  worker_->finish_frame();
  ASSERT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent);
  auto const death = slot_.reap();
  ASSERT_EQ(death.report.items.size(), 1u);
  EXPECT_EQ(death.report.returned.size(), 1u);
  EXPECT_TRUE(death.attributed.empty());
}

TEST_F(SlotLedgerTest, AnOpenFrameOfAnotherSizeThanItMustHaveIsALie) {
  give(chunk_of(3));
  answer(0);
  words().done.store(channel::pack_done(1, 3));
  auto const death = slot_.reap();
  EXPECT_NE(death.bad.find("open frame"), std::string::npos) << death.bad;
  EXPECT_TRUE(death.report.items.empty());
  ASSERT_EQ(death.attributed.size(), 1u);
  EXPECT_EQ(death.report.returned.size(), 1u);
}

TEST_F(SlotLedgerTest, MarksThatCannotBeTrueAreALie) {
  give(chunk_of(3));
  words().claim.store(200);
  auto const death = slot_.reap();
  EXPECT_NE(death.bad.find("cannot be true"), std::string::npos) << death.bad;
}

// The element next in turn, and all that it says to have begun.
TEST_F(SlotLedgerTest, ALiarIsTheCauseOfAllThatItClaims) {
  for (std::uint64_t const claims : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4}}) {
    give(chunk_of(3));
    ASSERT_EQ(slot_.put(chunk_of(2)), Slot::Put::sent);
    words().claim.store(claims);
    publish(outcome_header(7, 1, 4), 4);
    auto const death = slot_.reap();
    EXPECT_NE(death.bad, "");
    EXPECT_TRUE(death.report.items.empty());
    std::uint64_t attributed = 0;
    for (Chunk const& chunk : death.attributed) attributed += chunk.count;
    EXPECT_EQ(attributed, std::max(claims, std::uint64_t{1}));
    std::uint64_t returned = 0;
    for (Chunk const& chunk : death.report.returned) returned += chunk.count;
    EXPECT_EQ(returned, 5 - attributed);
    open();
  }
}

TEST_F(SlotLedgerTest, TheEighthDeathAtAnElementIsOneTooMany) {
  Chunk chunk = chunk_of(2);
  for (unsigned death = 1; death <= 8; ++death) {
    give(std::move(chunk));
    auto left = slot_.reap();
    EXPECT_EQ(left.bad, "");
    EXPECT_EQ(left.poison, death == 8) << death;
    ASSERT_EQ(left.attributed.size(), death == 8 ? 1u : 0u) << death;
    ASSERT_EQ(left.report.returned.size(), 1u);
    chunk = std::move(left.report.returned.front());
    open();
  }
  EXPECT_EQ(chunk.first, 1u);
  EXPECT_EQ(chunk.attempt_deaths, 0u) << "those were of the first one";
}

TEST_F(SlotLedgerTest, AnOutcomeForgetsTheDeathsAtItsElement) {
  Chunk chunk = chunk_of(2);
  chunk.attempt_deaths = 7;
  give(std::move(chunk));
  answer(0);
  auto const death = slot_.reap();
  ASSERT_EQ(death.report.items.size(), 1u);
  EXPECT_FALSE(death.poison);
  ASSERT_EQ(death.report.returned.size(), 1u);
  EXPECT_EQ(death.report.returned[0].attempt_deaths, 1u);
}

}  // namespace
}  // namespace procpool::parent
