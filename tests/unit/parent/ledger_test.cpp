// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The ledger alone: each element leaves it once, and only an outcome that is owed is accepted.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parent/ledger.hpp"

namespace procpool::parent {
namespace {

using channel::BadFrame;
using channel::OutboxHeader;
using channel::OutboxKind;
using channel::Where;
using Belief = Ledger::Belief;
using Range = std::pair<std::uint64_t, std::uint64_t>;  // first element, count

void any_code(detail::Operation&) {}

Chunk chunk_of(std::uint64_t count, std::size_t result_size = 4) {
  detail::Function function;
  function.code = any_code;
  function.argument_size = 1;
  function.result_size = result_size;
  auto task = std::make_shared<detail::Task>(std::move(function));
  auto input =
      std::make_shared<SharedInput>(detail::InputBuffer{0, count, detail::Bytes(count), {}, {}}, 1);
  return Chunk{std::move(task), std::move(input), 0, count};
}

OutboxHeader header_of(std::uint64_t serial, std::uint64_t count, std::uint64_t size) {
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.serial = serial;
  header.count = count;
  header.size = size;
  return header;
}

std::vector<Range> ranges(Chunks const& chunks) {
  std::vector<Range> ranges;
  for (Chunk const& chunk : chunks) ranges.emplace_back(chunk.first, chunk.count);
  return ranges;
}

class LedgerTest : public testing::Test {
 protected:
  void add(Chunk chunk) {
    std::uint64_t const count = chunk.count;
    ledger_.reserve();
    ledger_.add(next_serial_, std::move(chunk));
    next_serial_ += count;
  }
  std::string refusal(OutboxHeader const& header) const {
    try {
      ledger_.check(header);
    } catch (BadFrame const& bad) {
      return bad.what();
    }
    return "";
  }

  Ledger ledger_;
  std::uint64_t next_serial_ = 0;
};

TEST_F(LedgerTest, SpansTheSerialsOfItsEntries) {
  EXPECT_TRUE(ledger_.empty());
  EXPECT_EQ(ledger_.first_serial(), 0u);
  EXPECT_EQ(ledger_.end_serial(), 0u);
  next_serial_ = 5;
  Chunk const chunk = chunk_of(3);
  add(chunk);
  add(chunk_of(2));
  EXPECT_EQ(ledger_.first_serial(), 5u);
  EXPECT_EQ(ledger_.end_serial(), 10u);
  EXPECT_TRUE(ledger_.holds(*chunk.task));
  EXPECT_FALSE(ledger_.holds(*chunk_of(1).task));
  ledger_.reset();
  EXPECT_TRUE(ledger_.empty());
}

// ---- outcomes

TEST_F(LedgerTest, AcceptsWhatIsOwedAndNothingElse) {
  EXPECT_NE(refusal(header_of(0, 1, 4)).find("where none is owed"), std::string::npos);
  add(chunk_of(3));
  add(chunk_of(3));
  for (std::uint64_t count = 1; count <= 3; ++count) {
    EXPECT_EQ(refusal(header_of(0, count, 4 * count)), "") << count;
  }
  EXPECT_NE(refusal(header_of(1, 1, 4)).find("elements 1 + 1 where 0 + 3 are owed"),
            std::string::npos);
  EXPECT_NE(refusal(header_of(0, 0, 0)), "");
  EXPECT_NE(refusal(header_of(0, 4, 16)), "") << "beyond the end of the chunk";
  EXPECT_NE(refusal(header_of(0, 2, 9)).find("results of 9 bytes"), std::string::npos);
}

TEST_F(LedgerTest, OneElementHasAFrameOfItsOwnWhenItThrowsOrIsLarge) {
  add(chunk_of(3, 0));
  OutboxHeader header = header_of(0, 2, 8);
  header.kind = OutboxKind::thrown;
  EXPECT_NE(refusal(header), "");
  header.count = 1;
  EXPECT_EQ(refusal(header), "");
  for (Where const where : {Where::file, Where::block}) {
    header = header_of(0, 2, 100'000);
    header.where = where;
    EXPECT_NE(refusal(header), "");
    header.count = 1;
    EXPECT_EQ(refusal(header), "");
  }
}

TEST_F(LedgerTest, AnOutcomeTakesElementsFromTheFront) {
  next_serial_ = 10;
  Chunk chunk = chunk_of(3);
  auto const task = chunk.task;
  chunk.attempt_deaths = 7;
  add(std::move(chunk));
  add(chunk_of(1));
  auto const first = ledger_.resolve(2);
  EXPECT_EQ(first.task, task);
  EXPECT_EQ(first.element, 0u);
  EXPECT_EQ(first.serial, 10u);
  EXPECT_EQ(ledger_.front().chunk.first, 2u);
  EXPECT_EQ(ledger_.front().chunk.attempt_deaths, 0u) << "these were of the first element";
  auto const rest = ledger_.resolve(1);
  EXPECT_EQ(rest.task, task);
  EXPECT_EQ(rest.element, 2u);
  EXPECT_EQ(rest.serial, 12u);
  EXPECT_EQ(ledger_.first_serial(), 13u);
  EXPECT_EQ(ledger_.size(), 1u);
}

// ---- loads

Load load_of(Ledger& ledger) { return ledger.load(false, true); }

TEST_F(LedgerTest, CountsWhatItHolds) {
  Chunk chunk = chunk_of(4);
  chunk.estimate_ns = 1'000;
  ledger_.offer(chunk);
  add(std::move(chunk));
  chunk = chunk_of(2);
  chunk.estimate_ns = 7;
  ledger_.offer(chunk);
  Load const before = load_of(ledger_);
  EXPECT_EQ(before.held, (Amount{4, 1, 0, 1'000})) << "offered is not sent";
  EXPECT_EQ(before.offered, (Amount{6, 2, 0, 1'007}));
  add(std::move(chunk));
  EXPECT_EQ(load_of(ledger_).held, (Amount{6, 2, 0, 1'007}));
  ledger_.resolve(1);
  EXPECT_EQ(load_of(ledger_).held, (Amount{5, 2, 0, 757}));
  EXPECT_EQ(load_of(ledger_).answered, 1u);
  ledger_.revoke_from(2);
  EXPECT_EQ(load_of(ledger_).held, (Amount{1, 1, 0, 250}));
  EXPECT_EQ(load_of(ledger_).given, 2u) << "revoked elements are not";
  ledger_.resolve(1);
  EXPECT_EQ(load_of(ledger_).held, Amount()) << "nothing is left of any estimate";
  EXPECT_EQ(load_of(ledger_).answered, 2u);
}

TEST_F(LedgerTest, OnlyWhatWasOfferedAndTheVersionOutliveAWorker) {
  Chunk chunk = chunk_of(4);
  ledger_.offer(chunk);
  add(std::move(chunk));
  ledger_.resolve(1);
  Load const before = ledger_.load(true, false);
  EXPECT_TRUE(before.revoking);
  EXPECT_FALSE(before.writable);
  ledger_.reset();
  Load const after = load_of(ledger_);
  EXPECT_GT(after.version, before.version);
  EXPECT_EQ(after.offered, before.offered);
  EXPECT_EQ(after.held, Amount());
  EXPECT_EQ(after.given, 0u);
  EXPECT_EQ(after.answered, 0u);
}

TEST_F(LedgerTest, TheElementsOfThePoolsOwnCountNowhere) {
  auto task = std::make_shared<detail::Task>(chunk_of(1).task->function(),
                                             detail::TaskOptions{.internal = true});
  Chunk chunk = chunk_of(1);
  chunk.task = task;
  ledger_.offer(chunk);
  add(std::move(chunk));
  EXPECT_EQ(load_of(ledger_).held, Amount());
  EXPECT_EQ(load_of(ledger_).offered, Amount());
  ledger_.resolve(1);
  EXPECT_EQ(load_of(ledger_).answered, 0u);
}

// ---- revocation

TEST_F(LedgerTest, FindsTheSerialOfTheLastElements) {
  EXPECT_FALSE(ledger_.serial_of_last(1));
  add(chunk_of(3));
  add(chunk_of(2));
  EXPECT_FALSE(ledger_.serial_of_last(0));
  EXPECT_EQ(ledger_.serial_of_last(1), 4u);
  EXPECT_EQ(ledger_.serial_of_last(2), 3u);
  EXPECT_EQ(ledger_.serial_of_last(3), 2u);
  EXPECT_EQ(ledger_.serial_of_last(5), 0u);
  EXPECT_EQ(ledger_.serial_of_last(~std::uint64_t{0}), 0u);
}

TEST_F(LedgerTest, RevokesFromASerialOnAndCutsTheChunkThatLiesAcross) {
  add(chunk_of(3));
  add(chunk_of(2));
  add(chunk_of(4));
  EXPECT_TRUE(ledger_.revoke_from(9).empty());
  EXPECT_EQ(ranges(ledger_.revoke_from(2)), (std::vector<Range>{{2, 1}, {0, 2}, {0, 4}}));
  EXPECT_EQ(ledger_.end_serial(), 2u);
  EXPECT_EQ(ranges(ledger_.revoke_all()), (std::vector<Range>{{0, 2}}));
  EXPECT_TRUE(ledger_.empty());
}

TEST_F(LedgerTest, ACutAtTheBeginOfAChunkRevokesTheWholeChunk) {
  add(chunk_of(3));
  add(chunk_of(2));
  EXPECT_EQ(ranges(ledger_.revoke_from(3)), (std::vector<Range>{{0, 2}}));
  EXPECT_EQ(ledger_.size(), 1u);
}

// ---- deaths

TEST_F(LedgerTest, AnElementThatHadBegunIsTheCause) {
  add(chunk_of(3));
  ledger_.resolve(1);
  auto const attribution = ledger_.attribute({.payload = {}, .begun = true}, Belief::honest, false);
  EXPECT_EQ(ranges(attribution.chunks), (std::vector<Range>{{1, 1}}));
  EXPECT_FALSE(attribution.poison);
  EXPECT_EQ(ranges(ledger_.revoke_all()), (std::vector<Range>{{2, 1}}));
}

TEST_F(LedgerTest, WhatHadNotBegunIsNoCauseUntilItsEighthDeath) {
  Chunk chunk = chunk_of(2);
  for (unsigned death = 1; death <= Ledger::max_attempt_deaths; ++death) {
    bool const last = death == Ledger::max_attempt_deaths;
    add(std::move(chunk));
    auto const attribution = ledger_.attribute({}, Belief::honest, false);
    EXPECT_EQ(attribution.poison, last) << death;
    EXPECT_EQ(attribution.chunks.size(), last ? 1u : 0u) << death;
    chunk = std::move(ledger_.revoke_all().front());
  }
  EXPECT_EQ(chunk.first, 1u);
  EXPECT_EQ(chunk.attempt_deaths, 0u) << "these were of the first element";
}

TEST_F(LedgerTest, AStalledWorkerIsHalfOfACause) {
  Chunk chunk = chunk_of(1);
  add(std::move(chunk));
  EXPECT_TRUE(ledger_.attribute({}, Belief::stalled, false).chunks.empty());
  EXPECT_TRUE(ledger_.attribute({}, Belief::stalled, false).poison);
  EXPECT_TRUE(ledger_.empty());
}

TEST_F(LedgerTest, AWorkerIsKilledForItsFrontElement) {
  add(chunk_of(2));
  auto const attribution = ledger_.attribute({}, Belief::honest, true);
  EXPECT_EQ(ranges(attribution.chunks), (std::vector<Range>{{0, 1}}));
  EXPECT_FALSE(attribution.poison);
}

TEST_F(LedgerTest, ALiarIsTheCauseOfTheElementItOwedAndOfAllThatItClaims) {
  for (std::uint64_t const claim : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4}}) {
    ledger_.reset();
    next_serial_ = 0;
    add(chunk_of(3));
    add(chunk_of(2));
    auto const attribution =
        ledger_.attribute({.payload = {}, .claim = claim}, Belief::liar, false);
    std::uint64_t attributed = 0;
    for (Chunk const& chunk : attribution.chunks) attributed += chunk.count;
    EXPECT_EQ(attributed, std::max(claim, std::uint64_t{1}));
    EXPECT_EQ(ledger_.first_serial(), attributed);
    EXPECT_EQ(ledger_.end_serial(), 5u);
  }
}

TEST_F(LedgerTest, AnEmptyLedgerHasNoCause) {
  for (Belief const belief : {Belief::honest, Belief::stalled, Belief::liar}) {
    EXPECT_TRUE(
        ledger_.attribute({.payload = {}, .begun = true, .claim = 7}, belief, true).chunks.empty());
  }
}

TEST_F(LedgerTest, DoubtsAnOpenFrameOfAnotherSizeThanItsResultsHave) {
  std::vector<std::byte> const bytes(8);
  add(chunk_of(3));
  EXPECT_EQ(ledger_.doubt({.payload = bytes}), "") << "nothing is counted";
  EXPECT_EQ(ledger_.doubt({.done = 2, .payload = bytes}), "");
  EXPECT_NE(ledger_.doubt({.done = 1, .payload = bytes}), "");
  ledger_.reset();
  add(chunk_of(3, 0));
  EXPECT_EQ(ledger_.doubt({.done = 1, .payload = bytes}), "") << "results of any size";
}

}  // namespace
}  // namespace procpool::parent
