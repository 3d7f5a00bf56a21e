// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Elements that expire, elements that are run again later, and the time of the next change.
#include "parent/deadlines.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include <procpool/detail/engine/task.hpp>

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

using Expiry = SharedInput::Expiry;

constexpr Deadlines::TimePoint now{1h};

std::shared_ptr<SharedInput> input_of(std::uint64_t count) {
  detail::InputBuffer input;
  input.count = count;
  return std::make_shared<SharedInput>(std::move(input), 0);
}

Chunk element(std::uint64_t index) { return Chunk{nullptr, nullptr, index, 1}; }

TEST(Deadlines, WithoutAnyNothingIsDue) {
  Deadlines deadlines;
  Deadlines::Due const due = deadlines.due(now);
  EXPECT_TRUE(due.delayed.empty());
  EXPECT_FALSE(due.expired);
  EXPECT_EQ(due.next, std::nullopt);
  EXPECT_EQ(deadlines.first_delayed(), nullptr);
}

TEST(Deadlines, InputsExpireAtTheirTime) {
  Deadlines deadlines;
  auto const soon = input_of(1);
  auto const later = input_of(1);
  deadlines.expire_at(now + 2s, later);
  deadlines.expire_at(now + 1s, soon);
  Deadlines::Due due = deadlines.due(now + 999ms);
  EXPECT_FALSE(due.expired);
  EXPECT_EQ(due.next, now + 1s);
  due = deadlines.due(now + 1s);
  EXPECT_TRUE(due.expired);
  EXPECT_EQ(soon->expiry(), Expiry::not_begun);
  EXPECT_EQ(later->expiry(), Expiry::none);
  EXPECT_EQ(due.next, now + 2s);
  EXPECT_TRUE(deadlines.due(now + 5s).expired);
  EXPECT_EQ(later->expiry(), Expiry::not_begun);
  EXPECT_FALSE(deadlines.due(now + 5s).expired);
}

// The deadline is for further attempts too.
TEST(Deadlines, AnInputExpiresForItsBeginAndThenForAll) {
  Deadlines deadlines;
  auto const input = input_of(1);
  deadlines.expire_at(now + 1s, input, Expiry::not_begun);
  deadlines.expire_at(now + 2s, input, Expiry::all);
  Chunk fresh{nullptr, input, 0, 1};
  Chunk again{nullptr, input, 0, 1};
  again.again = true;
  EXPECT_TRUE(deadlines.due(now + 1s).expired);
  EXPECT_TRUE(fresh.expired());
  EXPECT_FALSE(again.expired());
  EXPECT_TRUE(deadlines.due(now + 2s).expired);
  EXPECT_TRUE(again.expired());
  input->expire(Expiry::not_begun);
  EXPECT_EQ(input->expiry(), Expiry::all);
}

TEST(Deadlines, AnInputThatIsGoneExpiresNothing) {
  Deadlines deadlines;
  deadlines.expire_at(now, input_of(1));
  Deadlines::Due const due = deadlines.due(now + 1s);
  EXPECT_FALSE(due.expired);
  EXPECT_EQ(due.next, std::nullopt);
}

TEST(Deadlines, DelayedElementsComeInTheOrderOfTheirTimes) {
  Deadlines deadlines;
  deadlines.delay_until(now + 3s, element(3));
  deadlines.delay_until(now + 1s, element(1));
  deadlines.delay_until(now + 2s, element(2));
  ASSERT_NE(deadlines.first_delayed(), nullptr);
  EXPECT_EQ(deadlines.first_delayed()->first, 1u);
  EXPECT_EQ(deadlines.due(now).next, now + 1s);
  Deadlines::Due const due = deadlines.due(now + 2s);
  ASSERT_EQ(due.delayed.size(), 2u);
  EXPECT_EQ(due.delayed[0].first, 1u);
  EXPECT_EQ(due.delayed[1].first, 2u);
  EXPECT_EQ(due.next, now + 3s);
}

TEST(Deadlines, TheEarliestOfBothKindsIsNext) {
  Deadlines deadlines;
  auto const input = input_of(1);
  deadlines.delay_until(now + 2s, element(1));
  deadlines.expire_at(now + 1s, input);
  EXPECT_EQ(deadlines.due(now).next, now + 1s);
  EXPECT_EQ(deadlines.due(now + 1s).next, now + 2s);
}

TEST(Deadlines, ChosenElementsAreDelayedNoLonger) {
  Deadlines deadlines;
  for (std::uint64_t i = 0; i < 6; ++i) deadlines.delay_until(now + 1s, element(i));
  Chunks const removed =
      deadlines.remove_delayed([](Chunk const& chunk) { return chunk.first >= 4; });
  ASSERT_EQ(removed.size(), 2u);
  EXPECT_EQ(removed[0].first, 4u);
  EXPECT_EQ(removed[1].first, 5u);
  EXPECT_EQ(deadlines.due(now + 1s).delayed.size(), 4u);
}

TEST(Deadlines, CountsElementsWithATimeout) {
  Deadlines deadlines;
  EXPECT_FALSE(deadlines.any_timed());
  deadlines.add_timed(3);
  deadlines.remove_timed(2);
  EXPECT_TRUE(deadlines.any_timed());
  deadlines.remove_timed(1);
  EXPECT_FALSE(deadlines.any_timed());
}

}  // namespace
}  // namespace procpool::parent
