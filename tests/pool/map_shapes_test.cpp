// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The forms of map: empty and single inputs, more workers than elements, several ranges, tuples,
// void, move-only values, and ranges that are no containers.

#include <gtest/gtest.h>
#include <unistd.h>

#include <forward_list>
#include <iterator>
#include <map>
#include <memory>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"

namespace {

using tasks::add;
using tasks::square;
std::string describe(int number, std::string name, double weight) {
  return name + ":" + std::to_string(number) + ":" + std::to_string(static_cast<int>(weight));
}
using tasks::note;
std::unique_ptr<int> next(std::unique_ptr<int> x) { return std::make_unique<int>(*x + 1); }
using tasks::who_runs;
std::string nothing_given() { return "called"; }

struct Person {
  std::string name;
  int born = 0;
};
struct Age {
  std::string name;
  int age = 0;
  bool operator==(Age const&) const = default;
};
Age age_in_2017(Person p) { return {p.name, 2017 - p.born}; }

}  // namespace

TEST(Map, OfNothingStartsNoWorker) {
  procpool::ProcessPool pool{2};
  EXPECT_TRUE(pool.map<square>(std::vector<int>{}).empty());
  EXPECT_TRUE(pool.outcomes().map<square>(std::vector<int>{}).empty());
  EXPECT_TRUE(pool.starmap<add>(std::vector<std::tuple<int, int>>{}).empty());
  EXPECT_TRUE(pool.map<add>(std::vector<int>{}, std::vector{1, 2, 3}).empty());
  EXPECT_EQ(pool.stats().worker_starts, 0u);
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(Map, OfOneStartsOneWorker) {
  procpool::ProcessPool pool{4};
  EXPECT_EQ(pool.map<square>(std::vector{7}), std::vector{49});
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

TEST(Map, WithMoreWorkersThanElements) {
  procpool::ProcessPool pool{8};
  EXPECT_EQ(pool.map<square>(std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
  EXPECT_LE(pool.stats().worker_starts, 3u);
}

TEST(Map, RunsInOtherProcesses) {
  procpool::ProcessPool pool{2};
  for (pid_t const pid : pool.with({.chunk = 1}).map<who_runs>(std::views::iota(0, 50))) {
    EXPECT_NE(pid, ::getpid());
    EXPECT_GT(pid, 1);
  }
}

TEST(Map, ZipsSeveralRanges) {
  procpool::ProcessPool pool{2};
  std::vector const numbers{1, 2, 3};
  std::forward_list<std::string> const names{"a", "b", "c"};
  auto const weights =
      std::views::iota(10, 20) | std::views::transform([](int x) { return x * 1.0; });
  // Ends with the shortest.
  EXPECT_EQ(pool.map<describe>(numbers, names, weights),
            (std::vector<std::string>{"a:1:10", "b:2:11", "c:3:12"}));
  EXPECT_EQ(pool.map<add>(std::vector{1, 2, 3, 4}, std::vector{10, 20}), (std::vector{11, 22}));
}

TEST(Map, TakesAnyInputRange) {
  procpool::ProcessPool pool{2};
  auto even = std::views::iota(0, 20) | std::views::filter([](int x) { return x % 2 == 0; });
  EXPECT_EQ(pool.map<square>(even), (std::vector{0, 4, 16, 36, 64, 100, 144, 196, 256, 324}));
  EXPECT_EQ(pool.map<square>(std::set{3, 1, 2}), (std::vector{1, 4, 9}));
  EXPECT_EQ(pool.map<square>(std::vector<short>{3, -2}), (std::vector{9, 4}));
}

TEST(Map, TakesVectorOfBool) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.map([](bool b) { return !b; }, std::vector{true, false, true}),
            (std::vector{false, true, false}));
}

TEST(Starmap, UnpacksTuplesAndPairs) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.starmap<add>(std::vector<std::tuple<int, int>>{{1, 2}, {3, 4}}),
            (std::vector{3, 7}));
  EXPECT_EQ(pool.starmap<add>(std::map<int, int>{{1, 2}, {3, 4}}), (std::vector{3, 7}));
  EXPECT_EQ(pool.starmap(add, std::vector<std::pair<int, int>>{{5, 6}}), std::vector{11});
}

TEST(Map, OfAVoidFunctionReturnsNothing) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  static_assert(std::is_void_v<decltype(pool.map<note>(std::vector<int>{}))>);
  pool.map<note>(std::views::iota(0, 100));
  EXPECT_EQ(trace.size(), 100u);
  auto const outcomes = pool.outcomes().map<note>(std::views::iota(100, 110));
  ASSERT_EQ(outcomes.size(), 10u);
  for (auto const& outcome : outcomes) EXPECT_TRUE(outcome.has_value());
  EXPECT_EQ(trace.counts().size(), 110u);
}

TEST(Map, CarriesMoveOnlyValues) {
  procpool::ProcessPool pool{2};
  std::vector<std::unique_ptr<int>> inputs;
  for (int i = 0; i < 20; ++i) inputs.push_back(std::make_unique<int>(i));
  auto const results = pool.map<next>(
      std::ranges::subrange(std::move_iterator(inputs.begin()), std::move_iterator(inputs.end())));
  ASSERT_EQ(results.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*results[static_cast<std::size_t>(i)], i + 1);
  EXPECT_EQ(*pool.submit<next>(std::make_unique<int>(1)).get(), 2);
}

TEST(Map, CarriesPlainStructs) {
  procpool::ProcessPool pool{2};
  std::vector<Person> const people{{"Ada", 1815}, {"Emmy", 1882}, {"", 2017}};
  EXPECT_EQ(pool.map<age_in_2017>(people),
            (std::vector<Age>{{"Ada", 202}, {"Emmy", 135}, {"", 0}}));
}

TEST(Submit, OfAFunctionWithoutArguments) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.submit<nothing_given>().get(), "called");
  EXPECT_EQ(pool.call(nothing_given), "called");
}
