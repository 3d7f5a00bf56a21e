// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Collecting: blocks of outcomes become values and errors in the order of the elements, however
// they arrived; what is malformed costs the elements it stands for, nothing else.

#include <procpool/detail/operations/collect.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/fake_engine.hpp"
#include "support/tasks.hpp"

namespace {

using api_test::Bytes;
using api_test::Delivery;
using api_test::FakePool;
using api_test::OutcomeBlock;
using api_test::Payload;

using tasks::numbers;

int doubled(int x) { return 2 * x; }
std::string text_of(int x) {
  return std::string(static_cast<std::size_t>(x % 5), 'x') + std::to_string(x);
}
void ignored(int) {}
int some_fail(int x) {
  if (x % 7 == 3) throw std::out_of_range(std::to_string(x));
  return x;
}

// ---- every arrangement of blocks

class Arrangement : public testing::TestWithParam<Delivery> {
 protected:
  FakePool fake{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Of, Arrangement,
                         testing::Values(Delivery::single, Delivery::reversed, Delivery::whole,
                                         Delivery::pieces));

TEST_P(Arrangement, ValuesOfFixedSize) {
  auto const results = fake.pool.map<doubled>(numbers(150));
  for (int i = 0; i < 150; ++i) EXPECT_EQ(results.at(static_cast<std::size_t>(i)), 2 * i);
}

TEST_P(Arrangement, ValuesOfAnySize) {
  auto const results = fake.pool.map<text_of>(numbers(150));
  for (int i = 0; i < 150; ++i) EXPECT_EQ(results.at(static_cast<std::size_t>(i)), text_of(i));
}

TEST_P(Arrangement, NoValues) {
  fake.pool.map<ignored>(numbers(150));
  auto const outcomes = fake.pool.outcomes().map<ignored>(numbers(150));
  ASSERT_EQ(outcomes.size(), 150u);
  for (auto const& outcome : outcomes) EXPECT_TRUE(outcome.has_value());
}

TEST_P(Arrangement, OutcomesInTheOrderOfTheInputs) {
  auto const outcomes = fake.pool.outcomes().map<some_fail>(numbers(100));
  ASSERT_EQ(outcomes.size(), 100u);
  for (int i = 0; i < 100; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i % 7 == 3) {
      auto const error = support::error_of<procpool::FromWorker<std::out_of_range>>(outcome);
      EXPECT_EQ(error.what(), std::to_string(i));
      EXPECT_EQ(error.element, static_cast<std::uint64_t>(i));
      EXPECT_EQ(error.worker, 3);
      EXPECT_EQ(error.pid, 4711);
      EXPECT_NE(error.task, 0u);
    } else {
      EXPECT_EQ(outcome.value(), i);
    }
  }
}

TEST_P(Arrangement, MapThrowsTheFirstFailureByIndex) {
  auto const error =
      support::thrown_by<std::out_of_range>([&] { fake.pool.map<some_fail>(numbers(100)); });
  EXPECT_STREQ(error.what(), "3");
  EXPECT_THROW(fake.pool.map(
                   [](int x) {
                     if (x == 90) throw std::domain_error("90");
                   },
                   numbers(100)),
               std::domain_error);
}

TEST_P(Arrangement, BoolsAndMoveOnlyAndNoDefault) {
  struct Fixed {
    int const value;
  };
  auto const odd = fake.pool.map([](int x) { return x % 2 != 0; }, numbers(70));
  EXPECT_EQ(odd.size(), 70u);
  EXPECT_TRUE(odd[69]);
  EXPECT_FALSE(odd[68]);
  auto const owned = fake.pool.map([](int x) { return std::make_unique<int>(x); }, numbers(70));
  EXPECT_EQ(*owned.at(69), 69);
  auto outcomes =
      fake.pool.outcomes().map([](int x) { return std::make_unique<int>(x); }, numbers(70));
  EXPECT_EQ(*std::move(outcomes.at(69)).value(), 69);
  auto const fixed = fake.pool.map([](int x) { return Fixed{x}; }, numbers(70));
  EXPECT_EQ(fixed.at(69).value, 69);
}

// ---- made by hand

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes bytes(values.size() * sizeof(int));
  std::memcpy(bytes.data(), std::data(values), bytes.size());
  return bytes;
}

// Texts as they come from a worker, each behind its length.
Bytes bytes_of(std::initializer_list<std::string> values) {
  Bytes bytes;
  for (std::string const& value : values) {
    Bytes one;
    procpool::detail::encode(one, value);
    std::uint64_t const length = one.size();
    auto const* const prefix = reinterpret_cast<std::byte const*>(&length);
    bytes.insert(bytes.end(), prefix, prefix + sizeof length);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return bytes;
}

OutcomeBlock values(std::uint64_t first, std::uint64_t count, Bytes bytes) {
  OutcomeBlock block;
  block.first = first;
  block.count = count;
  block.payload = Payload(std::move(bytes));
  return block;
}

OutcomeBlock failed(std::uint64_t first, std::uint64_t count) {
  OutcomeBlock block;
  block.first = first;
  block.count = count;
  block.kind = OutcomeBlock::Kind::failed;
  block.failure = std::make_exception_ptr(procpool::TaskCancelled("cancelled"));
  return block;
}

std::string name_of(procpool::Failure const& failure) {
  if (failure.as<procpool::BadMessage>() != nullptr) return "BadMessage";
  if (failure.as<procpool::SerializationError>() != nullptr) return "SerializationError";
  if (failure.as<procpool::TaskCancelled>() != nullptr) return "TaskCancelled";
  return failure.describe();
}

// What outcomes() makes of these blocks: for each element its value or the name of its error.
template <class R>
std::vector<std::string> outcomes_of(R (*function)(int), int count,
                                     std::vector<OutcomeBlock> blocks) {
  FakePool fake;
  fake.engine.instead = [&](std::uint64_t) { return std::move(blocks); };
  std::vector<std::string> all;
  for (auto const& outcome : fake.pool.outcomes().map(function, numbers(count))) {
    if (!outcome) {
      all.push_back(name_of(outcome.error()));
    } else if constexpr (std::is_void_v<R>) {
      all.push_back("done");
    } else if constexpr (std::is_same_v<R, std::string>) {
      all.push_back(outcome.value());
    } else {
      all.push_back(std::to_string(outcome.value()));
    }
  }
  return all;
}

class OutcomeDetails : public testing::Test {
 protected:
  procpool::Outcome<int> outcome_of(OutcomeBlock block) {
    FakePool fake;
    fake.engine.instead = [&](std::uint64_t) { return std::vector{std::move(block)}; };
    return fake.pool.outcomes().map(doubled, numbers(1)).at(0);
  }
  OutcomeBlock block = values(0, 1, bytes_of({5}));
};

TEST_F(OutcomeDetails, AreThoseOfTheBlock) {
  block.nanoseconds = 1;
  block.worker = 3;
  block.pid = 4711;
  auto const outcome = outcome_of(block);
  EXPECT_EQ(outcome.times().ran(), std::chrono::nanoseconds(1));
  EXPECT_LE(*outcome.times().queued, *outcome.times().started);
  EXPECT_EQ(outcome.worker(), 3);
  EXPECT_EQ(outcome.pid(), 4711);
  EXPECT_EQ(outcome.attempts(), 1u);
}

TEST_F(OutcomeDetails, AWorkerThatLiesAboutItsTimeBeganWhenItWasQueued) {
  for (std::uint64_t const said : {std::uint64_t{1} << 50, ~std::uint64_t{0}}) {
    block.nanoseconds = said;
    auto const times = outcome_of(block).times();
    EXPECT_EQ(times.started, times.queued);
    EXPECT_LE(*times.started, *times.ended);
  }
}

TEST_F(OutcomeDetails, OfWhatNobodyTimedHaveNoBegin) {
  block.nanoseconds = 0;
  EXPECT_FALSE(outcome_of(block).times().started);
  auto never = failed(0, 1);
  EXPECT_EQ(outcome_of(never).attempts(), 0u);
  never.begun = true;
  EXPECT_EQ(outcome_of(never).attempts(), 1u);
}

template <class... Blocks>
std::vector<OutcomeBlock> blocks(Blocks... each) {
  std::vector<OutcomeBlock> all;
  (all.push_back(std::move(each)), ...);
  return all;
}

using Texts = std::vector<std::string>;

TEST(Blocks, OfMixedKinds) {
  EXPECT_EQ(outcomes_of(doubled, 5, blocks(failed(3, 2), values(0, 3, bytes_of({7, 8, 9})))),
            (Texts{"7", "8", "9", "TaskCancelled", "TaskCancelled"}));
  EXPECT_EQ(outcomes_of(ignored, 3, blocks(values(1, 2, {}), failed(0, 1))),
            (Texts{"TaskCancelled", "done", "done"}));
}

TEST(Blocks, AFailureBehindValuesIsThrownByMap) {
  FakePool fake;
  fake.engine.instead = [](std::uint64_t) {
    return blocks(failed(4, 1), values(0, 2, bytes_of({1, 2})), failed(2, 1),
                  values(3, 1, bytes_of({4})));
  };
  EXPECT_THROW(fake.pool.map<doubled>(numbers(5)), procpool::TaskCancelled);
}

// ---- which element it is of

TEST(Blocks, EachElementOfAFailureTellsWhichItIs) {
  auto const expect_each = []<class E>(E const& error, std::uint64_t first) {
    FakePool fake;
    fake.engine.instead = [&](std::uint64_t) {
      OutcomeBlock block = failed(first, 3);
      block.failure = std::make_exception_ptr(error);
      return blocks(values(0, first, bytes_of({1, 2})), std::move(block));
    };
    auto const outcomes = fake.pool.outcomes().map<doubled>(numbers(static_cast<int>(first) + 3));
    for (std::uint64_t i = 0; i < 3; ++i) {
      auto const told = support::error_of<E>(outcomes[first + i]);
      EXPECT_EQ(told.element(), first + i);
      EXPECT_GT(told.task(), 0u);
      EXPECT_STREQ(told.what(), error.what());
    }
  };
  expect_each(procpool::TaskTimeout("late"), 2);
  expect_each(procpool::TaskCancelled("cancelled"), 2);
  expect_each(procpool::BadMessage("bad"), 2);
}

// Of a task that threw one itself it stays what it was: it has an origin.
TEST(Blocks, AThrownTimeoutStaysAsItCame) {
  FakePool fake;
  auto const error =
      support::error_of<procpool::FromWorker<procpool::TaskTimeout>>(fake.pool.outcomes().map(
          [](int) -> int { throw procpool::TaskTimeout("inner", 70, 7); }, numbers(2))[1]);
  EXPECT_EQ(static_cast<procpool::TaskTimeout const&>(error).element(), 7u);
  EXPECT_EQ(static_cast<procpool::Origin const&>(error).element, 1u);
}

TEST(Malformed, TellsWhichElement) {
  FakePool fake;
  fake.engine.instead = [](std::uint64_t) { return blocks(values(0, 3, {})); };
  auto const outcomes = fake.pool.outcomes().map<doubled>(numbers(3));
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(support::error_of<procpool::BadMessage>(outcomes[i]).element(), i);
  }
  fake.engine.instead = [](std::uint64_t) {
    Bytes bytes(2 * (sizeof(std::uint64_t) + 1));  // no text is so short
    std::uint64_t const length = 1;
    std::memcpy(bytes.data(), &length, sizeof length);
    std::memcpy(bytes.data() + sizeof length + 1, &length, sizeof length);
    return blocks(values(0, 2, std::move(bytes)));
  };
  auto const texts = fake.pool.outcomes().map<text_of>(numbers(2));
  for (std::uint64_t i = 0; i < 2; ++i) {
    auto const error =
        support::error_of<procpool::FromWorker<procpool::SerializationError>>(texts[i]);
    EXPECT_EQ(error.element, i);
    EXPECT_EQ(error.worker, -1);
  }
}

// Lengths that do not add up say that the block as a whole is not to be believed.

TEST(Malformed, ACutBlockIsRefusedWholeAndAlone) {
  Bytes cut = bytes_of({1, 2, 3});
  cut.resize(cut.size() - 1);
  EXPECT_EQ(outcomes_of(doubled, 4, blocks(values(0, 3, cut), values(3, 1, bytes_of({4})))),
            (Texts{"BadMessage", "BadMessage", "BadMessage", "4"}));
  EXPECT_EQ(outcomes_of(doubled, 2, blocks(values(0, 2, {}))), (Texts{"BadMessage", "BadMessage"}));
}

TEST(Malformed, ABlockThatIsTooLongIsRefused) {
  EXPECT_EQ(
      outcomes_of(doubled, 2, blocks(values(0, 1, bytes_of({1, 2})), values(1, 1, bytes_of({3})))),
      (Texts{"BadMessage", "3"}));
  EXPECT_EQ(outcomes_of(text_of, 1, blocks(values(0, 1, bytes_of({"a", "b"})))),
            (Texts{"BadMessage"}));
}

TEST(Malformed, ACutBlockOfTextsIsRefusedWholeAndAlone) {
  Bytes const whole = bytes_of({"a", "bc"});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(outcomes_of(text_of, 3, blocks(values(0, 2, cut), values(2, 1, bytes_of({"d"})))),
              (Texts{"BadMessage", "BadMessage", "d"}))
        << length;
  }
}

TEST(Malformed, AnAbsurdLengthCostsNoMemory) {
  for (std::uint64_t length : {std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    Bytes bytes = bytes_of({"a", "b"});
    std::memcpy(bytes.data(), &length, sizeof length);
    EXPECT_EQ(outcomes_of(text_of, 3, blocks(values(0, 2, bytes), values(2, 1, bytes_of({"c"})))),
              (Texts{"BadMessage", "BadMessage", "c"}));
  }
}

TEST(Malformed, AWrongLengthInsideCostsThatElementOnly) {
  // A text that says it is longer than the element that holds it.
  Bytes bytes = bytes_of({"a", "b", "c"});
  std::size_t const element = bytes.size() / 3;
  std::byte& size_of_b = bytes[element + sizeof(std::uint64_t)];
  size_of_b = std::byte{200};
  EXPECT_EQ(outcomes_of(text_of, 3, blocks(values(0, 3, bytes))),
            (Texts{"a", "SerializationError", "c"}));
}

TEST(Malformed, BytesBehindAValueCostThatElementOnly) {
  Bytes bytes = bytes_of({"a", "b"});
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  ++length;
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(sizeof length + length - 1),
               std::byte{});
  EXPECT_EQ(outcomes_of(text_of, 2, blocks(values(0, 2, bytes))),
            (Texts{"SerializationError", "b"}));
}

bool negated(int x) { return x == 0; }

TEST(Malformed, ABoolThatIsNone) {
  EXPECT_EQ(outcomes_of(negated, 3,
                        blocks(values(0, 3, Bytes{std::byte{1}, std::byte{2}, std::byte{0}}))),
            (Texts{"1", "SerializationError", "0"}));
}

struct Flags {
  bool a;
  bool b;
};

TEST(Malformed, ABoolInAStructThatIsNone) {
  FakePool fake;
  fake.engine.instead = [](std::uint64_t) {
    return blocks(values(0, 2, Bytes{std::byte{1}, std::byte{77}, std::byte{0}, std::byte{1}}));
  };
  auto const outcomes = fake.pool.outcomes().map([](int) { return Flags{}; }, numbers(2));
  EXPECT_TRUE(support::is<procpool::SerializationError>(outcomes[0].error()));
  EXPECT_TRUE(outcomes[1].value().b);
}

TEST(Malformed, MapThrowsIt) {
  FakePool fake;
  fake.engine.instead = [](std::uint64_t) { return blocks(values(0, 2, bytes_of({1}))); };
  auto const error =
      support::thrown_by<procpool::BadMessage>([&] { fake.pool.map<doubled>(numbers(2)); });
  EXPECT_TRUE(support::says(error, "elements 0 to 1"));
}

TEST(Malformed, AnExceptionThatCannotBeUnderstood) {
  OutcomeBlock block = values(0, 1, Bytes(3));
  block.kind = OutcomeBlock::Kind::thrown;
  EXPECT_EQ(outcomes_of(doubled, 2, blocks(std::move(block), values(1, 1, bytes_of({5})))),
            (Texts{"BadMessage", "5"}));
}

struct Picky {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
    if (Archive::is_loading::value && value % 2 != 0) throw std::domain_error("odd");
  }
};

TEST(Decoding, ThatThrowsCostsThatElementOnly) {
  FakePool fake;
  auto const outcomes = fake.pool.outcomes().map([](int x) { return Picky{x}; }, numbers(4));
  EXPECT_EQ(outcomes[2].value().value, 2);
  EXPECT_TRUE(support::is<std::domain_error>(outcomes[3].error()));
  EXPECT_THROW(fake.pool.map([](int x) { return Picky{x}; }, numbers(2)), std::domain_error);
  EXPECT_THROW(fake.pool.call([](int x) { return Picky{x}; }, 1), std::domain_error);
}

// ---- a reason that all elements of a block share

TEST(SharedReasons, TellEachItsElement) {
  procpool::detail::SharedReason const reason(
      std::make_exception_ptr(procpool::SetupError("no process can be had")));
  for (std::uint64_t const element : {3u, 4u}) {
    try {
      std::rethrow_exception(reason.of(7, element));
    } catch (procpool::SetupError const& error) {
      EXPECT_STREQ(error.what(), "no process can be had");
      auto const* const origin = dynamic_cast<procpool::Origin const*>(&error);
      ASSERT_NE(origin, nullptr);
      EXPECT_EQ(origin->task, 7u);
      EXPECT_EQ(origin->element, element);
    }
  }
}

}  // namespace
