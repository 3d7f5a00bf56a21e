// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Callables on an engine that runs elements in this process: the cases of support/callable_cases.hpp,
// and the facts that only such an engine shows: nothing is sent for a refused argument, and nothing is
// copied that need not be.

#include <procpool/callable.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_engine.hpp"

namespace callable_cases {

class CallableTest : public testing::Test {
 protected:
  api_test::FakePool fake;
  procpool::ProcessPool& pool = fake.pool;
};

}  // namespace callable_cases

#include "support/callable_cases.hpp"

namespace callable_cases {
namespace {

TEST(CallableBindHere, CanBeCalled) {
  EXPECT_EQ(procpool::bind_front(join, "a", "b")("c"), "a,b,c");
  EXPECT_EQ(procpool::bind_back(line, 3, 2)(1), 7.0);
}

TEST_F(CallableArguments, ANullTextIsRefusedHere) {
  EXPECT_THROW(pool.call<c_text>(static_cast<char const*>(nullptr)), std::logic_error);
  EXPECT_TRUE(fake.engine.appended.empty());
}

TEST_F(CallableResults, Nothing) {
  static_assert(std::is_void_v<decltype(pool.call([](int) {}, 1))>);
  pool.call([](int) {}, 1);
  EXPECT_EQ(fake.engine.appended.size(), 1u);
}

// ---- copies

struct Counted {
  Counted() = default;
  explicit Counted(int number) : value(number) {}
  Counted(Counted const& other) : value(other.value) { ++copies; }
  Counted(Counted&& other) noexcept : value(other.value) { ++moves; }
  Counted& operator=(Counted const&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() = default;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
  }

  int value = 0;
  static inline int copies = 0;
  static inline int moves = 0;
};

class Copies : public CallableTest {
 protected:
  void SetUp() override { Counted::copies = Counted::moves = 0; }
};

TEST_F(Copies, NoneOfAnArgument) {
  Counted const counted(4);
  auto const value = [](Counted const& c) { return c.value; };
  EXPECT_EQ(pool.call(value, counted), 4);
  EXPECT_EQ(pool.call(value, Counted(5)), 5);
  EXPECT_EQ(pool.map(value, std::vector<Counted>(3)), (std::vector{0, 0, 0}));
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, ParametersByValueAreMovedInto) {
  EXPECT_EQ(pool.call([](Counted c) { return c.value; }, Counted(4)), 4);
  EXPECT_EQ(pool.call([](Counted&& c) { return c.value; }, Counted(4)), 4);
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, NoneOfAResult) {
  auto const make = [](int x) { return Counted(x); };
  EXPECT_EQ(pool.call(make, 4).value, 4);
  EXPECT_EQ(pool.map(make, inputs).size(), 3u);
  EXPECT_EQ(pool.outcomes().map(make, inputs).front().value().value, 1);
  EXPECT_EQ(pool.call([](Counted const& c) -> Counted const& { return c; }, Counted(7)).value, 7);
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, NoneOfACallableOrItsBoundArguments) {
  Counted counted(3);
  auto bound =
      procpool::bind_front([](Counted const& a, int b) { return a.value + b; }, std::move(counted));
  EXPECT_EQ(pool.map(std::move(bound), inputs), (std::vector{4, 5, 6}));
  EXPECT_EQ(Counted::copies, 0);
}

}  // namespace
}  // namespace callable_cases
