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
  return Outcome<T>(std::make_exception_ptr(std::out_of_range("outside")));
}

TEST(Outcome, OfAValue) {
  Outcome<std::string> const outcome(std::in_place, "text");
  EXPECT_TRUE(outcome.ok());
  EXPECT_TRUE(static_cast<bool>(outcome));
  EXPECT_EQ(outcome.value(), "text");
  EXPECT_EQ(outcome.error(), nullptr);
}

TEST(Outcome, OfAnError) {
  auto const outcome = failure<std::string>();
  EXPECT_FALSE(outcome.ok());
  EXPECT_FALSE(static_cast<bool>(outcome));
  EXPECT_THROW(outcome.value(), std::out_of_range);
  EXPECT_THROW(std::rethrow_exception(outcome.error()), std::out_of_range);
  EXPECT_EQ(procpool::describe(outcome.error()), "std::out_of_range: outside");
}

TEST(Outcome, AnErrorCanBeAskedForMoreThanOnce) {
  auto outcome = failure<int>();
  EXPECT_THROW(outcome.value(), std::out_of_range);
  EXPECT_THROW(std::move(outcome).value(), std::out_of_range);
  EXPECT_NE(outcome.error(), nullptr);
}

TEST(Outcome, OfNothing) {
  Outcome<void> const done(std::in_place);
  static_assert(std::is_void_v<decltype(done.value())>);
  EXPECT_NO_THROW(done.value());
  EXPECT_TRUE(done.ok());
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
