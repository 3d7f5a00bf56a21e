// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Callables in workers: the cases of support/callable_cases.hpp, and what a worker keeps of a
// callable.

#include <gtest/gtest.h>

#include <functional>
#include <procpool.hpp>
#include <string>
#include <vector>

namespace callable_cases {

class CallableTest : public testing::Test {
 protected:
  procpool::ProcessPool pool{2};
};

}  // namespace callable_cases

#include "support/callable_cases.hpp"

namespace callable_cases {

// A value that knows how many of its kind the process has.
struct Counted {
  static inline int living = 0;
  Counted() { ++living; }
  Counted(Counted const&) { ++living; }
  Counted& operator=(Counted const&) = default;
  ~Counted() { --living; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
int how_many(Counted const&, int) { return Counted::living; }

// Of 64 large ones a worker would be full.
TEST(Callable, WhatIsBoundIsLetGoWhenItsCallIsOver) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 100; ++i) {
    EXPECT_LE(pool.call(procpool::bind_front(how_many, Counted()), i), 2);
  }
  // While calls are under way, theirs stay.
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(pool.submit(procpool::bind_front(how_many, Counted()), i));
  }
  for (auto& future : futures) EXPECT_LE(future.get(), 12);
}

namespace {

struct Times {
  int factor = 1;
  int operator()(int x) const { return factor * x; }
};

// States of one type do not mix, however they alternate.
TEST(Callable, ManyStatesOfOneType) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int factor = 0; factor < 300; ++factor) futures.push_back(pool.submit(Times{factor}, 7));
  for (int factor = 0; factor < 300; ++factor) {
    EXPECT_EQ(futures[static_cast<std::size_t>(factor)].get(), 7 * factor);
  }
}

// A state larger than what travels in one piece with the task.
TEST(Callable, LargeState) {
  procpool::ProcessPool pool{1};
  std::string const text(300'000, 't');
  EXPECT_EQ(pool.map(Prefix(text), std::vector<std::string>{"1", "2"}),
            (std::vector<std::string>{text + "1", text + "2"}));
}

TEST(Callable, MoreFunctionsThanAWorkerRemembers) {
  procpool::ProcessPool pool{1};
  int wrong = 0;
  auto const run = [&]<int... N>(std::integer_sequence<int, N...>) {
    wrong += ((pool.call([](int x) { return x + N; }, 1) != 1 + N) + ...);
  };
  run(std::make_integer_sequence<int, 40>());
  run(std::make_integer_sequence<int, 40>());
  EXPECT_EQ(wrong, 0);
}

TEST(Callable, ByValueLambdaTravelsWithItsCaptures) {
  procpool::ProcessPool pool{2};
  struct Place {
    double x;
    double y;
  };
  int const factor = static_cast<int>(inputs.size());
  Place const origin{1.0, 2.0};
  auto const call =
      procpool::by_value([factor, origin](int x) { return factor * x + origin.x + origin.y; });
  EXPECT_EQ(pool.map(call, inputs), (std::vector{6.0, 9.0, 12.0}));
  EXPECT_EQ(pool.submit(call, 10).get(), 33.0);
  auto generic = procpool::by_value([factor](auto x) { return x * factor; });
  EXPECT_EQ(pool.call(generic, 2.5), 7.5);
  EXPECT_EQ(pool.call(procpool::bind_front(generic, 5)), 15);
}

}  // namespace
}  // namespace callable_cases
