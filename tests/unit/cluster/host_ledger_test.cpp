// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Each element leaves the ledger of its host once: answered, withdrawn, or lost.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "cluster/host_ledger.hpp"

namespace procpool::cluster {
namespace {

using parent::Chunk;

void no_code(detail::Operation&) {}

Chunk chunk_of(std::uint64_t count) {
  detail::Function function;
  function.code = no_code;
  function.argument_size = 1;
  auto task = std::make_shared<detail::Task>(std::move(function));
  auto input = std::make_shared<parent::SharedInput>(
      detail::InputBuffer{0, count, detail::Bytes(count), {}, {}}, 1);
  return Chunk{std::move(task), std::move(input), 0, count};
}

Chunk all_of(std::size_t, Chunk& chunk) { return chunk.split_off(0); }

TEST(HostLedger, OutcomesComeInAnyOrder) {
  HostLedger ledger;
  Chunk const chunk = chunk_of(10);
  std::uint64_t const task = chunk.task->id();
  ledger.grant(ledger.give(3, chunk));
  auto const middle = ledger.answer(task, 4, 2);
  ASSERT_TRUE(middle);
  EXPECT_EQ(middle->chunk.first, 4u);
  EXPECT_EQ(middle->chunk.count, 2u);
  EXPECT_EQ(middle->place, 3u);
  EXPECT_EQ(middle->amount.chunks, 0u);
  EXPECT_FALSE(middle->last);
  EXPECT_TRUE(ledger.answer(task, 0, 4));
  EXPECT_EQ(ledger.elements(), 4u);
  auto const rest = ledger.answer(task, 6, 4);
  ASSERT_TRUE(rest);
  EXPECT_TRUE(rest->last);
  EXPECT_EQ(rest->amount.chunks, 1u);
  EXPECT_TRUE(ledger.empty());
}

TEST(HostLedger, WhatTheHostDoesNotHoldIsNoOutcome) {
  HostLedger ledger;
  Chunk const chunk = chunk_of(10);
  std::uint64_t const task = chunk.task->id();
  EXPECT_FALSE(ledger.answer(task, 0, 1));
  std::uint64_t const serial = ledger.give(0, chunk);
  EXPECT_FALSE(ledger.answer(task, 0, 1)) << "it was not granted";
  ledger.grant(serial);
  EXPECT_FALSE(ledger.answer(task + 1, 0, 1));
  EXPECT_FALSE(ledger.answer(task, 9, 2));
  EXPECT_FALSE(ledger.answer(task, 0, 0));
  EXPECT_FALSE(ledger.answer(task, 1, std::uint64_t(0) - 1));
  EXPECT_TRUE(ledger.answer(task, 2, 3));
  EXPECT_FALSE(ledger.answer(task, 2, 3)) << "twice";
  EXPECT_FALSE(ledger.answer(task, 0, 10)) << "a part of it has ended";
  EXPECT_EQ(ledger.elements(), 7u);
}

TEST(HostLedger, OnlyWhatIsNotGrantedIsWithdrawn) {
  HostLedger ledger;
  Chunk const chunk = chunk_of(4);
  Chunk const other = chunk_of(6);
  ledger.grant(ledger.give(0, chunk));
  std::uint64_t const serial = ledger.give(1, other);
  Withdraw told;
  auto const some = ledger.withdraw(
      [](std::size_t place, Chunk& each) {
        EXPECT_EQ(place, 1u);
        return each.split_off(4);
      },
      told);
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].chunk.first, 4u);
  EXPECT_EQ(some[0].chunk.count, 2u);
  EXPECT_FALSE(some[0].last);
  ASSERT_EQ(told.parts.size(), 1u);
  EXPECT_EQ(told.parts[0].serial, serial);
  EXPECT_EQ(told.parts[0].keep, 4u);
  auto const rest = ledger.withdraw(all_of, told);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_TRUE(rest[0].last);
  EXPECT_EQ(told.parts[1].keep, 0u);
  EXPECT_EQ(ledger.elements(), 4u);
  EXPECT_TRUE(ledger.withdraw(all_of, told).empty());
}

TEST(HostLedger, ALostHostGivesAllOfItUp) {
  HostLedger ledger;
  Chunk const chunk = chunk_of(5);
  Chunk const other = chunk_of(2);
  ledger.grant(ledger.give(0, chunk));
  ledger.give(0, other);
  ASSERT_TRUE(ledger.answer(chunk.task->id(), 1, 1));
  EXPECT_TRUE(ledger.holds(chunk.task->id()));
  std::uint64_t granted = 0;
  std::uint64_t not_granted = 0;
  std::uint64_t chunks = 0;
  for (auto const& taken : ledger.lose()) {
    (taken.granted ? granted : not_granted) += taken.chunk.count;
    chunks += taken.amount.chunks;
  }
  EXPECT_EQ(granted, 4u);
  EXPECT_EQ(not_granted, 2u);
  EXPECT_EQ(chunks, 2u);
  EXPECT_TRUE(ledger.empty());
  EXPECT_FALSE(ledger.holds(chunk.task->id()));
}

}  // namespace
}  // namespace procpool::cluster
