// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Elements that expire, elements that are run again later, and the time of the next change.
#include "parent/deadlines.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include <procpool/detail/engine/task.hpp>

#include "unit/parent/now.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

using Expiry = SharedInput::Expiry;

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

// A quick call with a far deadline.
TEST(Deadlines, InputsThatHaveEndedAreForgottenLongBeforeTheirTime) {
  Deadlines deadlines;
  std::vector<std::shared_ptr<SharedInput>> waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.push_back(input_of(1));
    deadlines.expire_at(now + 1h, waiting.back());
  }
  for (int i = 0; i < 100'000; ++i) {
    deadlines.expire_at(now + std::chrono::seconds(i % 100), input_of(1));
    EXPECT_LT(deadlines.expiring(), 40u);
  }
  EXPECT_TRUE(deadlines.due(now + 1h).expired);
  for (auto const& input : waiting) EXPECT_EQ(input->expiry(), Expiry::not_begun);
}

// With each end, also if no further input comes.
TEST(Deadlines, ManyInputsAreForgottenAsTheyEnd) {
  Deadlines deadlines;
  std::deque<std::shared_ptr<SharedInput>> inputs;
  for (int i = 0; i < 100'000; ++i) {
    inputs.push_back(input_of(1));
    deadlines.expire_at(now + 1h, inputs.back());
  }
  EXPECT_EQ(deadlines.expiring(), 100'000u);
  while (!inputs.empty()) {
    inputs.pop_front();
    deadlines.forget_ended();
    EXPECT_LE(deadlines.expiring(), 2 * inputs.size() + 40);
  }
  EXPECT_LT(deadlines.expiring(), 40u);
}

TEST(Deadlines, ForgetsBesideThoseThatExpire) {
  Deadlines deadlines;
  std::vector<std::shared_ptr<SharedInput>> inputs;
  for (int i = 0; i < 100; ++i) {
    inputs.push_back(i % 3 == 0 ? nullptr : input_of(1));
    deadlines.expire_at(now + std::chrono::seconds(i), i % 3 == 0 ? input_of(1) : inputs.back());
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(deadlines.due(now + std::chrono::seconds(i)).expired, i % 3 != 0);
    deadlines.forget_ended();
    for (int j = 0; j < 100; ++j) {
      auto const& input = inputs[static_cast<std::size_t>(j)];
      if (!input) continue;
      EXPECT_EQ(input->expiry(), j <= i ? Expiry::not_begun : Expiry::none);
    }
  }
  EXPECT_EQ(deadlines.expiring(), 0u);
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
