// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Results come in the order of the inputs, whatever the chunk, the number of workers, and however
// long each element takes.

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"

namespace {

constexpr int ordered_elements = 24;

// The earlier, the longer; and every fifth at once.
int earlier_is_slower(int i) {
  if (i % 5 != 0)
    std::this_thread::sleep_for(std::chrono::microseconds(50 * (ordered_elements - i)));
  return 1000 - i;
}

class Order : public testing::TestWithParam<int> {};

}  // namespace

TEST_P(Order, IsThatOfTheInputs) {
  procpool::ProcessPool pool{GetParam()};
  std::vector<int> inputs(ordered_elements);
  std::iota(inputs.begin(), inputs.end(), 0);
  std::vector<int> wanted;
  for (int const i : inputs) wanted.push_back(1000 - i);

  EXPECT_EQ(pool.map<earlier_is_slower>(inputs), wanted);
  for (int const chunk : {1, 3, ordered_elements, ordered_elements + 1}) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    EXPECT_EQ(pool.with({.chunk = chunk}).map<earlier_is_slower>(inputs), wanted);
    auto const outcomes = pool.with({.chunk = chunk}).outcomes().map<earlier_is_slower>(inputs);
    ASSERT_EQ(outcomes.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(outcomes[i].value(), wanted[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, Order, testing::Range(1, 9));

// Long enough for chunks that the pool chooses to grow and to shrink again.
TEST(OrderOfMap, IsKeptOverManyElements) {
  procpool::ProcessPool pool{4};
  std::vector<long> inputs(static_cast<std::size_t>(support::rounds(300'000, 30'000)));
  std::iota(inputs.begin(), inputs.end(), 0L);
  auto const results = pool.map([](long x) { return 3 * x + 1; }, inputs);
  ASSERT_EQ(results.size(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) ASSERT_EQ(results[i], 3 * inputs[i] + 1);
}

// An element that takes as long as all the others must not hold up the elements behind it.
TEST(OrderOfMap, IsKeptBehindOneLongElement) {
  procpool::ProcessPool pool{2};
  std::vector<int> inputs(200);
  std::iota(inputs.begin(), inputs.end(), 0);
  auto const results = pool.map(
      [](int x) {
        std::this_thread::sleep_for(std::chrono::milliseconds(x == 3 ? 300 : 1));
        return x;
      },
      inputs);
  EXPECT_EQ(results, inputs);
}
