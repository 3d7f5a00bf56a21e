// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Outcome: a value or an error, told apart, read without copies.

#include <procpool/outcome.hpp>

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/errors.hpp>

namespace {

using procpool::Outcome;

template <class T>
Outcome<T> failure() {
  return procpool::Failure(std::make_exception_ptr(std::out_of_range("outside")));
}

TEST(Outcome, OfAValue) {
  Outcome<std::string> const outcome(std::in_place, "text");
  EXPECT_TRUE(outcome.has_value());
  EXPECT_TRUE(static_cast<bool>(outcome));
  EXPECT_EQ(outcome.value(), "text");
  EXPECT_THROW(static_cast<void>(outcome.error()), std::logic_error);
}

TEST(Outcome, OfAnError) {
  auto const outcome = failure<std::string>();
  EXPECT_FALSE(outcome.has_value());
  EXPECT_FALSE(static_cast<bool>(outcome));
  EXPECT_THROW(outcome.value(), std::out_of_range);
  EXPECT_THROW(outcome.error().rethrow(), std::out_of_range);
  EXPECT_EQ(outcome.error().describe(), "std::out_of_range: outside");
}

TEST(Outcome, AnErrorCanBeAskedForMoreThanOnce) {
  auto outcome = failure<int>();
  EXPECT_THROW(outcome.value(), std::out_of_range);
  EXPECT_THROW(std::move(outcome).value(), std::out_of_range);
  EXPECT_STREQ(outcome.error().what(), "outside");
}

TEST(Outcome, AFailureThatWasMovedFromIsStillOne) {
  auto outcome = failure<int>();
  auto const moved = std::move(outcome);
  EXPECT_THROW(moved.value(), std::out_of_range);
  // NOLINTNEXTLINE(bugprone-use-after-move): that is what is tested
  EXPECT_THROW(outcome.value(), std::out_of_range);
  EXPECT_NE(outcome.error().exception(), nullptr);
}

TEST(Outcome, OfNothing) {
  Outcome<void> const done(std::in_place);
  static_assert(std::is_void_v<decltype(done.value())>);
  EXPECT_NO_THROW(done.value());
  EXPECT_TRUE(done.has_value());
  EXPECT_THROW(failure<void>().value(), std::out_of_range);
  auto const failed = failure<void>();
  EXPECT_THROW(failed.value(), std::out_of_range);
}

TEST(Outcome, TheValueIsSeenInPlace) {
  Outcome<std::string> outcome(std::in_place, "a");
  static_assert(std::is_same_v<decltype(outcome.value()), std::string&>);
  static_assert(std::is_same_v<decltype(std::as_const(outcome).value()), std::string const&>);
  static_assert(std::is_same_v<decltype(std::move(outcome).value()), std::string>);
  outcome.value() += "b";
  EXPECT_EQ(&outcome.value(), &std::as_const(outcome).value());
  EXPECT_EQ(outcome.value(), "ab");
}

TEST(Outcome, AMoveOnlyValueCanBeTaken) {
  Outcome<std::unique_ptr<int>> outcome(std::in_place, std::make_unique<int>(4));
  Outcome<std::unique_ptr<int>> moved = std::move(outcome);
  std::unique_ptr<int> const taken = std::move(moved).value();
  EXPECT_EQ(*taken, 4);
}

TEST(Outcome, ItsValueNeedsNoDefaultConstructor) {
  struct Fixed {
    explicit Fixed(int x) : value(x) {}
    int value;
  };
  EXPECT_EQ(Outcome<Fixed>(std::in_place, 3).value().value, 3);
}

TEST(Outcome, IsMadeOfAValue) {
  auto const half = [](int x) -> Outcome<int> {
    if (x % 2 != 0) return failure<int>();
    return Outcome<int>(x / 2);
  };
  EXPECT_EQ(*half(4), 2);
  EXPECT_FALSE(half(3));
}

// then() tells one function from the other by that.
static_assert(!std::is_convertible_v<int, Outcome<int>>);

TEST(Outcome, IsReadAsAPointerIs) {
  Outcome<std::string> outcome(std::in_place, "text");
  EXPECT_EQ(outcome->size(), 4u);
  *outcome += "s";
  EXPECT_EQ(*std::as_const(outcome), "texts");
  EXPECT_EQ(*std::move(outcome), "texts");
  EXPECT_THROW(static_cast<void>(*failure<std::string>()), std::out_of_range);
  EXPECT_THROW(static_cast<void>(failure<std::string>()->size()), std::out_of_range);
}

TEST(Outcome, ADefaultStandsInForTheValue) {
  EXPECT_EQ(Outcome<std::string>("text").value_or("other"), "text");
  EXPECT_EQ(failure<std::string>().value_or("other"), "other");
  Outcome<std::unique_ptr<int>> outcome(std::make_unique<int>(4));
  EXPECT_EQ(*std::move(outcome).value_or(nullptr), 4);
}

TEST(Outcome, IsFollowedByAnother) {
  auto const half = [](int x) -> Outcome<double> {
    if (x == 0) return procpool::Failure(std::make_exception_ptr(std::domain_error("zero")));
    return Outcome<double>(x / 2.0);
  };
  EXPECT_EQ(*Outcome<int>(5).and_then(half), 2.5);
  EXPECT_STREQ(Outcome<int>(0).and_then(half).error().what(), "zero");
  EXPECT_STREQ(failure<int>().and_then(half).error().what(), "outside");
  EXPECT_EQ(*Outcome<void>(std::in_place).and_then([] { return Outcome<int>(3); }), 3);
  EXPECT_FALSE(failure<void>().and_then([] { return Outcome<int>(3); }));
}

TEST(Outcome, OfNoElementKnowsNothingBesideItsValue) {
  for (auto const& outcome : {Outcome<int>(1), failure<int>()}) {
    EXPECT_FALSE(outcome.times().queued || outcome.times().started || outcome.times().ended);
    EXPECT_FALSE(outcome.times().waited() || outcome.times().ran());
    EXPECT_EQ(outcome.attempts(), 0u);
    EXPECT_EQ(outcome.worker(), -1);
    EXPECT_EQ(outcome.pid(), 0);
    EXPECT_EQ(outcome.output(), "");
  }
}

TEST(Outcome, IsTransformed) {
  auto const length = [](std::string const& text) { return text.size(); };
  EXPECT_EQ(*Outcome<std::string>("text").transform(length), 4u);
  EXPECT_STREQ(failure<std::string>().transform(length).error().what(), "outside");
  EXPECT_EQ(*Outcome<void>(std::in_place).transform([] { return 3; }), 3);
  int calls = 0;
  static_assert(std::is_same_v<decltype(Outcome<int>(1).transform([](int) {})), Outcome<void>>);
  EXPECT_TRUE(Outcome<int>(1).transform([&](int) { ++calls; }));
  EXPECT_FALSE(failure<int>().transform([&](int) { ++calls; }));
  EXPECT_EQ(calls, 1);
  procpool::detail::OutcomeFacts facts;
  facts.output = "text";
  facts.attempts = 3;
  Outcome<int> printed(1);
  procpool::detail::OutcomeAccess::set(printed,
                                       std::make_shared<procpool::detail::OutcomeFacts>(facts));
  auto const changed = printed.transform([](int x) { return x; });
  EXPECT_EQ(changed.output(), "text");
  EXPECT_EQ(changed.attempts(), 3u);
  // What can only be moved goes on.
  Outcome<std::unique_ptr<int>> outcome(std::make_unique<int>(4));
  EXPECT_EQ(*std::move(outcome).transform([](std::unique_ptr<int> p) { return *p; }), 4);
}

TEST(Outcome, AFailureIsReplaced) {
  auto const length = [](procpool::Failure const& failure) -> Outcome<int> {
    return Outcome<int>(static_cast<int>(std::string(failure.what()).size()));
  };
  EXPECT_EQ(*failure<int>().or_else(length), 7);
  EXPECT_EQ(*Outcome<int>(3).or_else(length), 3);
  auto const known = Outcome<int>(3);
  EXPECT_EQ(*known.or_else(length), 3);
}

class Base : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// The standard base is not the first part of the object.
struct Beside {
  virtual ~Beside() = default;
  int number = 5;
};
class Derived : public Beside, public Base {
 public:
  using Base::Base;
};

template <class E>
procpool::Failure failure_of(E error) {
  return procpool::Failure(std::make_exception_ptr(std::move(error)));
}

TEST(Failure, IsSeenAsAHandlerSeesIt) {
  auto const failure = failure_of(Derived("both"));
  EXPECT_STREQ(failure.what(), "both");
  ASSERT_NE(failure.as<Derived>(), nullptr);
  EXPECT_EQ(failure.as<Beside>()->number, 5);
  EXPECT_STREQ(failure.as<Base>()->what(), "both");
  EXPECT_STREQ(failure.as<std::exception>()->what(), "both");
  EXPECT_EQ(failure.as<std::logic_error>(), nullptr);
  EXPECT_EQ(failure_of(Base("base")).as<Derived>(), nullptr);
}

TEST(Failure, IsTheObjectThatIsThrown) {
  auto const failure = failure_of(std::out_of_range("outside"));
  try {
    failure.rethrow();
  } catch (std::out_of_range const& error) {
    EXPECT_EQ(&error, failure.as<std::out_of_range>());
  }
}

TEST(Failure, MayBeNoException) {
  EXPECT_EQ(failure_of(42).as<std::exception>(), nullptr);
  EXPECT_STREQ(failure_of(42).what(), "something that is no std::exception");
  EXPECT_EQ(failure_of("text").as<std::string>(), nullptr);
  EXPECT_EQ(failure_of(std::string("text")).as<std::string>()->size(), 4u);
}

// A class of two equal bases is not caught as one of them.
struct Other : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Twice : Base, Other {
  Twice() : Base("one"), Other("other") {}
};

TEST(Failure, AnAmbiguousBaseIsNone) {
  EXPECT_EQ(failure_of(Twice()).as<std::runtime_error>(), nullptr);
  EXPECT_NE(failure_of(Twice()).as<Base>(), nullptr);
}

TEST(Failure, HasAKind) {
  using Kind = procpool::FailureKind;
  EXPECT_EQ(failure_of(std::out_of_range("x")).kind(), Kind::threw);
  EXPECT_EQ(failure_of(42).kind(), Kind::threw);
  EXPECT_EQ(failure_of(procpool::RemoteError("x", {})).kind(), Kind::threw);
  EXPECT_EQ(failure_of(procpool::WorkerDied({})).kind(), Kind::died);
  EXPECT_EQ(failure_of(procpool::TaskTimeout("x")).kind(), Kind::timed_out);
  EXPECT_EQ(failure_of(procpool::TaskCancelled("x")).kind(), Kind::cancelled);
  EXPECT_EQ(failure_of(procpool::SerializationError("x")).kind(), Kind::not_sent);
  EXPECT_EQ(failure_of(procpool::SetupError("x")).kind(), Kind::not_sent);
  EXPECT_EQ(failure_of(procpool::BadMessage("x")).kind(), Kind::bad_message);
  EXPECT_EQ(failure_of(procpool::PoolClosed("x")).kind(), Kind::refused);
  EXPECT_EQ(failure_of(procpool::QueueFull("x")).kind(), Kind::refused);
  EXPECT_STREQ(procpool::to_string(Kind::timed_out), "timed_out");
}

// The error of a pool within the task is what the task threw.
TEST(Failure, OfAPoolWithinTheTaskWasThrown) {
  procpool::Origin origin;
  origin.worker = 0;
  auto const failure = failure_of(
      procpool::FromWorker<procpool::TaskTimeout>(procpool::TaskTimeout("inner"), "inner", origin));
  EXPECT_EQ(failure.kind(), procpool::FailureKind::threw);
  EXPECT_NE(failure.as<procpool::TaskTimeout>(), nullptr);
}

TEST(Describe, SaysTypeTextAndPlace) {
  procpool::Origin origin;
  origin.worker = 2;
  origin.pid = 99;
  origin.task = 5;
  origin.element = 7;
  origin.type = "app::Broken";
  origin.causes = {"std::bad_alloc: std::bad_alloc"};
  EXPECT_EQ(procpool::describe(std::make_exception_ptr(procpool::RemoteError("it broke", origin))),
            "app::Broken: it broke (task 5, element 7, worker 2, pid 99); because of "
            "std::bad_alloc: std::bad_alloc");
}

TEST(Describe, TypesWithoutOurNamespaceVersion) {
  EXPECT_EQ(procpool::describe(std::make_exception_ptr(procpool::PoolClosed("closed"))),
            "procpool::PoolClosed: closed");
}

TEST(Describe, WhatIsNoException) {
  EXPECT_EQ(procpool::describe(nullptr), "nothing");
  EXPECT_EQ(procpool::describe(std::make_exception_ptr(42)), "something that is no std::exception");
}

}  // namespace
