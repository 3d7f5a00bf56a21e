// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The operations: what of their ranges and options reaches the engine, and what comes back in which
// order.

#include <procpool/detail/operations/operations.hpp>
#include <procpool/pipe.hpp>

#include <gtest/gtest.h>

#include <array>
#include <forward_list>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "support/errors.hpp"
#include "support/fake_engine.hpp"
#include "support/tasks.hpp"

namespace {

using api_test::FakeEngine;
using api_test::FakePool;

int twice(int x) { return 2 * x; }
int add(int a, int b) { return a + b; }
std::string repeat(std::string const& text, unsigned times) {
  std::string all;
  while (times-- > 0) all += text;
  return all;
}
int odd_fails(int x) {
  if (x % 2 != 0) throw std::out_of_range(std::to_string(x));
  return x;
}
std::size_t size_of(std::vector<int> const& v) { return v.size(); }

using tasks::numbers;

// An element that carries something has a buffer of its own. The one before it goes first.
TEST(Operations, AnElementWhoseForerunnersAreRefusedKeepsWhatItCarries) {
  FakePool fake;
  fake.engine.close();
  auto [here, there] = procpool::make_pipe<int>();
  std::vector<procpool::PipeEnd<int>> ends(1);
  ends.push_back(std::move(there));
  auto const peer_is_there = [](procpool::PipeEnd<int> end) { return end.valid(); };
  EXPECT_THROW(static_cast<void>(fake.pool.map(peer_is_there, ends)), procpool::PoolClosed);
  ASSERT_TRUE(ends[1].valid());
  here.send(1);
  EXPECT_EQ(ends[1].receive(), 1);
}

// ---- both forms of every operation

TEST(Operations, Submit) {
  FakePool fake;
  EXPECT_EQ(fake.pool.submit<twice>(4).get(), 8);
  EXPECT_EQ(fake.pool.submit(twice, 4).get(), 8);
  EXPECT_EQ(fake.pool.with({}).submit<twice>(4).get(), 8);
}

TEST(Operations, Call) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<add>(4, 5), 9);
  EXPECT_EQ(fake.pool.call(add, 4, 5), 9);
}

TEST(Operations, Map) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<twice>(numbers(3)), (std::vector{0, 2, 4}));
  EXPECT_EQ(fake.pool.map(twice, numbers(3)), (std::vector{0, 2, 4}));
}

TEST(Operations, Starmap) {
  FakePool fake;
  std::vector const pairs{std::pair(1, 2), std::pair(3, 4)};
  EXPECT_EQ(fake.pool.starmap<add>(pairs), (std::vector{3, 7}));
  EXPECT_EQ(fake.pool.starmap(add, pairs), (std::vector{3, 7}));
  EXPECT_EQ(fake.pool.starmap<repeat>(std::vector{std::tuple("ab", 2)}),
            std::vector<std::string>{"abab"});
  EXPECT_EQ(fake.pool.starmap<add>(std::map<int, int>{{1, 2}}), std::vector{3});
  EXPECT_EQ(fake.pool.starmap<add>(std::vector{std::array{4, 5}}), std::vector{9});
}

TEST(Operations, StarmapOverATemporaryOfMoveOnlyParts) {
  FakePool fake;
  std::vector<std::tuple<std::unique_ptr<int>, int>> parts;
  parts.emplace_back(std::make_unique<int>(3), 4);
  auto const product = [](std::unique_ptr<int> a, int b) { return *a * b; };
  EXPECT_EQ(fake.pool.starmap(product, std::move(parts)), std::vector{12});
}

TEST(Operations, MapOfOutcomes) {
  FakePool fake;
  auto const outcomes = fake.pool.outcomes().map<odd_fails>(numbers(4));
  ASSERT_EQ(outcomes.size(), 4u);
  EXPECT_EQ(outcomes[2].value(), 2);
  EXPECT_THROW(outcomes[3].value(), std::out_of_range);
  EXPECT_EQ(fake.pool.outcomes().map(odd_fails, numbers(1)).size(), 1u);
}

TEST(Operations, MapOfOutcomesOfTwoRanges) {
  FakePool fake;
  EXPECT_EQ(fake.pool.outcomes().map<add>(numbers(3), numbers(3)).at(2).value(), 4);
}

TEST(Operations, OfAConstantNumberOfCallsPerElement) {
  static int calls = 0;
  FakePool fake;
  fake.pool.map([](int) { ++calls; }, numbers(200));
  EXPECT_EQ(calls, 200);
}

// ---- ranges

TEST(Ranges, SeveralStopAtTheShortest) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<add>(numbers(5), std::vector{10, 20}), (std::vector{10, 21}));
  EXPECT_EQ(fake.pool.map<add>(std::list{10, 20}, numbers(5)), (std::vector{10, 21}));
  auto const three = [](int a, int b, int c) { return a + b + c; };
  EXPECT_EQ(fake.pool.map(three, numbers(4), std::views::iota(0), numbers(3)),
            (std::vector{0, 3, 6}));
}

TEST(Ranges, AnEmptyOneNeverReachesTheEngine) {
  FakePool fake;
  EXPECT_TRUE(fake.pool.map<twice>(std::vector<int>{}).empty());
  EXPECT_TRUE(fake.pool.map<add>(numbers(3), std::list<int>{}).empty());
  EXPECT_TRUE(fake.pool.outcomes().map<twice>(std::list<int>{}).empty());
  EXPECT_TRUE(fake.pool.starmap<add>(std::vector<std::pair<int, int>>{}).empty());
  fake.pool.map([](int) {}, std::list<int>{});
  EXPECT_TRUE(fake.engine.appended.empty());
}

TEST(Ranges, ASingleElement) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<twice>(std::views::single(21)), std::vector{42});
  ASSERT_EQ(fake.engine.appended.size(), 1u);
  EXPECT_TRUE(fake.engine.appended[0].last);
}

TEST(Ranges, Views) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<twice>(std::views::iota(1, 4)), (std::vector{2, 4, 6}));
  EXPECT_EQ(fake.pool.map<twice>(numbers(3) | std::views::transform([](int x) { return x + 0.5; })),
            (std::vector{0, 2, 4}));
  auto all = numbers(6);
  auto even = all | std::views::filter([](int x) { return x % 2 == 0; });
  EXPECT_EQ(fake.pool.map<twice>(even), (std::vector{0, 4, 8}));  // not iterable when const
  EXPECT_EQ(fake.pool.map<twice>(all | std::views::reverse | std::views::take(1)), std::vector{10});
}

TEST(Ranges, InputIteratorsAreReadOnce) {
  FakePool fake;
  std::istringstream text("1 2 3");
  EXPECT_EQ(fake.pool.map<twice>(std::views::istream<int>(text)), (std::vector{2, 4, 6}));
  std::istringstream more("4 5");
  EXPECT_EQ(fake.pool.map<twice>(std::ranges::subrange(std::istream_iterator<int>(more),
                                                       std::istream_iterator<int>())),
            (std::vector{8, 10}));
}

TEST(Ranges, ManyElementsOfAStream) {
  FakePool fake;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ' ';
  std::istringstream stream(text);
  auto const results = fake.pool.map<twice>(std::views::istream<int>(stream));
  ASSERT_EQ(results.size(), 1000u);
  EXPECT_EQ(results[999], 1998);
}

TEST(Ranges, VectorOfBool) {
  FakePool fake;
  std::vector<bool> flags{true, false, true};
  auto const flip = [](bool flag) { return !flag; };
  EXPECT_EQ(fake.pool.map(flip, flags), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(fake.pool.map(flip, std::as_const(flags)), (std::vector<bool>{false, true, false}));
}

TEST(Ranges, OfEveryKindOfContainer) {
  FakePool fake;
  std::vector const expected{2, 4};
  int const array[] = {1, 2};
  EXPECT_EQ(fake.pool.map<twice>(array), expected);
  EXPECT_EQ(fake.pool.map<twice>(std::array{1, 2}), expected);
  EXPECT_EQ(fake.pool.map<twice>(std::set{2, 1}), expected);
  EXPECT_EQ(fake.pool.map<twice>(std::forward_list{1, 2}), expected);
  EXPECT_EQ(fake.pool.map<twice>(std::initializer_list<int>{1, 2}), expected);
}

TEST(Ranges, OfMoveOnlyElements) {
  FakePool fake;
  auto const value = [](std::unique_ptr<int> number) { return *number; };
  EXPECT_EQ(fake.pool.map(value, numbers(3) | std::views::transform(
                                                  [](int x) { return std::make_unique<int>(x); })),
            numbers(3));
  std::vector<std::unique_ptr<int>> owned;
  owned.push_back(std::make_unique<int>(7));
  EXPECT_EQ(fake.pool.map(value, std::ranges::subrange(std::move_iterator(owned.begin()),
                                                       std::move_iterator(owned.end()))),
            std::vector{7});
}

TEST(Ranges, ThatThrowsBeforeAnythingIsSent) {
  FakePool fake;
  auto const bad = numbers(10) | std::views::transform([](int x) {
                     return x < 5 ? x : throw std::domain_error("no more");
                   });
  EXPECT_THROW(fake.pool.map<twice>(bad), std::domain_error);
  EXPECT_TRUE(fake.engine.appended.empty());
  EXPECT_EQ(fake.engine.cancels, 0u);
  EXPECT_EQ(fake.pool.call<twice>(4), 8);
}

TEST(Ranges, ThatThrowsInTheMiddleCancels) {
  FakePool fake;
  auto const bad = numbers(500) | std::views::transform([](int x) {
                     return x < 300 ? x : throw std::domain_error("no more");
                   });
  EXPECT_THROW(fake.pool.map<twice>(bad), std::domain_error);
  EXPECT_EQ(fake.engine.appended.size(), 4u);
  EXPECT_EQ(fake.engine.cancels, 1u);
  EXPECT_TRUE(fake.engine.last_task.expired());
  EXPECT_EQ(fake.pool.map<twice>(numbers(3)), (std::vector{0, 2, 4}));
}

// ---- what cannot be encoded

struct Stubborn {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if (value == 100) throw std::domain_error("cannot be saved");
    archive & value;
  }
};
int value_of(Stubborn const& stubborn) { return stubborn.value; }

TEST(Encoding, AnArgumentThatThrowsEndsTheCall) {
  FakePool fake;
  EXPECT_THROW(static_cast<void>(fake.pool.submit<value_of>(Stubborn{100})), std::domain_error);
  EXPECT_TRUE(fake.engine.appended.empty());
  auto const stubborn = numbers(200) | std::views::transform([](int x) { return Stubborn{x}; });
  EXPECT_THROW(fake.pool.map<value_of>(stubborn), std::domain_error);
  EXPECT_EQ(fake.engine.appended.size(), 1u);
  EXPECT_EQ(fake.engine.cancels, 1u);
  EXPECT_EQ(fake.pool.call<value_of>(Stubborn{3}), 3);
}

TEST(Encoding, AClosedPoolRefuses) {
  FakePool fake;
  fake.pool.close();
  EXPECT_THROW(static_cast<void>(fake.pool.submit<twice>(1)), procpool::PoolClosed);
  EXPECT_THROW(fake.pool.map<twice>(numbers(200)), procpool::PoolClosed);
  EXPECT_EQ(fake.engine.cancels, 0u);
}

// ---- input buffers

TEST(InputBuffers, CountEveryElementOnce) {
  FakePool fake;
  for (int count : {1, 63, 64, 65, 127, 128, 129, 1000}) {
    fake.engine.appended.clear();
    auto const range = std::views::iota(0, count);
    EXPECT_EQ(fake.pool.map<twice>(range).back(), 2 * (count - 1));
    std::uint64_t next = 0;
    for (auto const& input : fake.engine.appended) {
      EXPECT_EQ(input.first, next);
      EXPECT_EQ(input.last, &input == &fake.engine.appended.back());
      EXPECT_EQ(input.bytes, input.count * sizeof(int));
      next += input.count;
    }
    EXPECT_EQ(next, static_cast<std::uint64_t>(count));
  }
}

TEST(InputBuffers, NoteTheEndsOfElementsThatVary) {
  FakePool fake;
  auto const text = [](int x) { return std::string(static_cast<std::size_t>(x % 7), 'x'); };
  auto const size = [](std::string const& s) { return s.size(); };
  auto const sizes = fake.pool.map(size, std::views::iota(0, 100) | std::views::transform(text));
  ASSERT_EQ(sizes.size(), 100u);
  EXPECT_EQ(sizes[99], 1u);
  for (auto const& input : fake.engine.appended) EXPECT_EQ(input.ends, input.count);
}

TEST(InputBuffers, ALargeElementIsOneOfItsOwn) {
  FakePool fake;
  std::vector<std::vector<int>> rows(9);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = numbers(i % 4 == 2 ? 20'000 : 10);
    rows[i].push_back(static_cast<int>(i));
  }
  auto const last = [](std::vector<int> const& row) { return row.back(); };
  EXPECT_EQ(fake.pool.map(last, rows), numbers(9));
  std::vector<std::uint64_t> counts;
  for (auto const& input : fake.engine.appended) counts.push_back(input.count);
  EXPECT_EQ(counts, (std::vector<std::uint64_t>{2, 1, 3, 1, 2}));
  EXPECT_EQ(fake.pool.map<size_of>(rows)[6], 20'001u);
}

TEST(InputBuffers, ALargeElementMayBeTheFirstAndTheLast) {
  FakePool fake;
  std::vector const rows(2, numbers(20'000));
  EXPECT_EQ(fake.pool.map<size_of>(rows), (std::vector<std::size_t>{20'000, 20'000}));
  ASSERT_GE(fake.engine.appended.size(), 2u);
  EXPECT_EQ(fake.engine.appended[0].count, 1u);
  EXPECT_EQ(fake.engine.appended[1].count, 1u);
  EXPECT_TRUE(fake.engine.appended.back().last);
}

TEST(InputBuffers, ElementsTogetherAreBounded) {
  FakePool fake;
  fake.engine.usual_input = 1'000'000;
  std::vector const rows(100, numbers(5'000));
  EXPECT_EQ(fake.pool.map<size_of>(rows).size(), 100u);
  for (auto const& input : fake.engine.appended) EXPECT_LT(input.bytes, 300'000u);
}

TEST(InputBuffers, BeginSmallAndGrow) {
  FakePool fake;
  fake.engine.usual_input = 1000;
  EXPECT_EQ(fake.pool.map<twice>(std::views::iota(0, 3000)).size(), 3000u);
  std::vector<std::uint64_t> counts;
  for (auto const& input : fake.engine.appended) counts.push_back(input.count);
  EXPECT_EQ(counts, (std::vector<std::uint64_t>{256, 512, 1000, 1000, 232}));
}

TEST(InputBuffers, BeginLargerWhereNothingIsEncoded) {
  FakePool fake;
  fake.engine.usual_input = 16'384;
  EXPECT_EQ(fake.pool.map<twice>(numbers(30'000)).size(), 30'000u);
  std::vector<std::uint64_t> counts;
  for (auto const& input : fake.engine.appended) counts.push_back(input.count);
  EXPECT_EQ(counts, (std::vector<std::uint64_t>{8'192, 16'384, 5'424}));
}

TEST(InputBuffers, AreWholeChunksWhereTheirSizeWasSetByHand) {
  FakePool fake;
  fake.engine.usual_input = 1000;
  fake.pool.with({.chunk = 300}).map<twice>(std::views::iota(0, 3000));
  for (auto const& input : fake.engine.appended) EXPECT_EQ(input.count % 300, 0u);
}

struct Kilobytes {
  std::array<std::uint64_t, 5000> words;
};

// The contiguous fast path cuts where the slow one does, but for the first ones where many are usual.
template <class T>
void expect_paths_agree(std::vector<T> const& elements, std::size_t usual) {
  auto const front = [](T const& element) { return reinterpret_cast<char const&>(element); };
  FakePool slow;
  slow.engine.usual_input = usual;
  auto const one = slow.pool.map(front, std::ranges::subrange(std::move_iterator(elements.begin()),
                                                              std::move_iterator(elements.end())));
  FakePool fast;
  fast.engine.usual_input = usual;
  auto const other = fast.pool.map(front, elements);
  EXPECT_EQ(one, other);
  EXPECT_EQ(one.size(), elements.size());
  EXPECT_TRUE(slow.engine.argument_bytes == fast.engine.argument_bytes);
  auto const cuts = [](FakeEngine const& engine) {
    std::vector<std::uint64_t> all;
    for (auto const& input : engine.appended) {
      if (input.count != 0) all.push_back(input.count);
    }
    return all;
  };
  EXPECT_EQ(cuts(slow.engine), cuts(fast.engine));
}

TEST(InputBuffers, BitwiseElementsAreCutAlikeOnBothPaths) {
  expect_paths_agree(numbers(1), 64);
  expect_paths_agree(numbers(64), 64);
  expect_paths_agree(numbers(1000), 64);
  expect_paths_agree(std::vector<std::array<double, 1000>>(100), 64);
  expect_paths_agree(std::vector<Kilobytes>(5), 64);
}

// ---- chunk

std::vector<std::uint64_t> input_sizes(FakePool const& fake) {
  std::vector<std::uint64_t> sizes;
  for (auto const& input : fake.engine.appended) sizes.push_back(input.count);
  return sizes;
}

TEST(Chunk, InputBuffersAreMultiplesOfOneSetByHand) {
  FakePool fake;
  EXPECT_EQ(fake.pool.with({.chunk = 24}).map<twice>(std::views::iota(0, 100)).size(), 100u);
  EXPECT_EQ(input_sizes(fake), (std::vector<std::uint64_t>{48, 48, 4}));
  fake.engine.appended.clear();
  fake.pool.with({.chunk = 24}).map<twice>(numbers(100));
  EXPECT_EQ(input_sizes(fake), (std::vector<std::uint64_t>{48, 48, 4}));
  fake.engine.appended.clear();
  fake.pool.with({.chunk = 80u}).starmap<add>(std::vector(100, std::pair(1, 2)));
  EXPECT_EQ(input_sizes(fake), (std::vector<std::uint64_t>{80, 20}));
}

TEST(With, AddsToTheOptionsBefore) {
  FakePool fake;
  auto const sizes = [&](auto view) {
    fake.engine.appended.clear();
    view.template map<twice>(numbers(100));
    return input_sizes(fake);
  };
  auto const by_24 = fake.pool.with({.chunk = 24});
  EXPECT_EQ(sizes(by_24.with({.priority = 1})), (std::vector<std::uint64_t>{48, 48, 4}));
  EXPECT_EQ(sizes(by_24.with({.chunk = 80})), (std::vector<std::uint64_t>{80, 20}));
  EXPECT_EQ(sizes(by_24.with({})), sizes(by_24));
  // Whichever it was that gave an option that has no use.
  for (auto const& view : {fake.pool.with({.window = 3}).with({.chunk = 24}),
                           fake.pool.with({.chunk = 24}).with({.window = 3})}) {
    auto refused = view;
    auto const error =
        support::thrown_by<std::invalid_argument>([&] { refused.map<twice>(numbers(3)); });
    EXPECT_TRUE(support::says(error, "`window`")) << error.what();
  }
  EXPECT_THROW(by_24.with({.chunk = 0}), std::invalid_argument);
}

TEST(Chunk, SetByHandIsNotCutByLargeElements) {
  FakePool fake;
  std::vector rows(4, numbers(10));
  rows[1] = numbers(100'000);
  EXPECT_EQ(fake.pool.with({.chunk = 4}).map<size_of>(rows),
            (std::vector<std::size_t>{10, 100'000, 10, 10}));
  EXPECT_EQ(fake.engine.appended[0].count, 4u);
}

TEST(Chunk, OfTheDefaultsCountsForMapOnly) {
  procpool::PoolOptions options;
  options.start.method = procpool::Start::in_process;
  options.defaults.chunk = 5;
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.map<twice>(numbers(7)).size(), 7u);
  EXPECT_EQ(pool.call<twice>(4), 8);
  EXPECT_EQ(pool.with({}).call<twice>(4), 8);
}

TEST(Chunk, OutOfRangeIsRefusedBeforeAnything) {
  FakePool fake;
  auto const refused = [&](procpool::Count chunk) {
    EXPECT_THROW(fake.pool.with({.chunk = chunk}).map<twice>(numbers(3)), std::invalid_argument);
    EXPECT_THROW(fake.pool.with({.chunk = chunk}).outcomes().map<twice>(numbers(3)),
                 std::invalid_argument);
  };
  refused(0);
  refused(-1);
  refused(procpool::detail::max_chunk + 1);
  refused(~std::uint64_t{0});
  EXPECT_TRUE(fake.engine.appended.empty());
  EXPECT_EQ(fake.pool.with({.chunk = procpool::detail::max_chunk}).map<twice>(numbers(3)).size(),
            3u);
}

TEST(Chunk, HasNoMeaningForSubmit) {
  FakePool fake;
  EXPECT_THROW(static_cast<void>(fake.pool.with({.chunk = 4}).submit<twice>(1)),
               std::invalid_argument);
  EXPECT_THROW(fake.pool.with({.chunk = 4}).call<twice>(1), std::invalid_argument);
  EXPECT_TRUE(fake.engine.appended.empty());
}

}  // namespace
