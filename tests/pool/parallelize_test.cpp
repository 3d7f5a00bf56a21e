// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// parallelize and its kin: how ranges are cut, what the function gets, how results are put
// together, and what becomes of errors.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdint>
#include <forward_list>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <procpool.hpp>
#include <ranges>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"

using procpool::OnError;
using Sizes = std::vector<std::size_t>;
using Ints = std::vector<int>;

namespace {

std::size_t size_of(std::span<int const> slice) { return slice.size(); }
Ints copy(std::span<int const> slice) { return {slice.begin(), slice.end()}; }
Ints doubled(Ints slice) {
  for (int& x : slice) x *= 2;
  return slice;
}
Ints evens(Ints const& slice) {
  Ints result;
  std::ranges::copy_if(slice, std::back_inserter(result), [](int x) { return x % 2 == 0; });
  return result;
}
std::vector<double> halves(std::vector<double> const& slice) {
  std::vector<double> result;
  for (double const x : slice) result.push_back(x / 2);
  return result;
}
double sum(std::span<double const> slice) {
  return std::accumulate(slice.begin(), slice.end(), 0.0);
}
std::vector<bool> odd(std::vector<bool> const& slice) {
  std::vector<bool> result;
  for (bool const x : slice) result.push_back(!x);
  return result;
}
std::vector<Ints> pairs(Ints const& slice) {
  std::vector<Ints> result;
  for (int const x : slice) result.push_back({x, -x});
  return result;
}
std::vector<std::unique_ptr<int>> boxes(Ints const& slice) {
  std::vector<std::unique_ptr<int>> result;
  for (int const x : slice) result.push_back(std::make_unique<int>(x));
  return result;
}
Ints unbox_all(std::vector<std::unique_ptr<int>> const& slice) {
  Ints result;
  for (auto const& box : slice) result.push_back(*box);
  return result;
}
std::size_t characters(std::vector<std::string> const& slice) {
  std::size_t count = 0;
  for (auto const& text : slice) count += text.size();
  return count;
}
void note_all(std::span<int const> slice) {
  for (int const x : slice) support::Trace::note(x);
}
Ints scaled(std::span<int const> slice, int factor, Ints const& offsets) {
  Ints result;
  for (int const x : slice) result.push_back(factor * x + offsets.at(1));
  return result;
}
int fail_at_30(Ints const& slice) {
  if (std::ranges::count(slice, 30) != 0) throw std::out_of_range("thirty");
  return slice.front();
}
int crash_at_30(Ints const& slice) {
  if (std::ranges::count(slice, 30) != 0) ::raise(SIGSEGV);
  return slice.front();
}
void sleep_5_ms(Ints const&) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
std::vector<double> many_from(std::span<int const> slice) {
  std::vector<double> result(std::size_t{1} << 22);
  std::iota(result.begin(), result.end(), 1e7 * slice.front());
  return result;
}

// ---- for parallelize_reduce

using tasks::add;
long to_long(int i) { return i; }
long add_longs(long a, long b) { return a + b; }
std::string digit(int i) { return "(" + std::to_string(i) + ")"; }
std::string concatenate(std::string a, std::string const& b) { return a + b; }
int scaled_number(int i, int factor, Ints const& offsets) { return factor * i + offsets.at(0); }
int number_but_30(int i) {
  if (i == 30) throw std::out_of_range("thirty");
  if (i == 60) ::raise(SIGSEGV);
  return i;
}
int add_up_to_1000(int a, int b) {
  if (a + b > 1000) throw std::overflow_error("too much");
  return a + b;
}
template <class I>
std::vector<long> listed(I i) {
  return {static_cast<long>(i)};
}
std::vector<long> append(std::vector<long> a, std::vector<long> const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// All numbers from first to before last, as they are met.
template <class I>
void expect_every_one(procpool::ProcessPool& pool, I first, I last) {
  std::vector<long> wanted;
  for (long i = static_cast<long>(first); i < static_cast<long>(last); ++i) wanted.push_back(i);
  EXPECT_EQ((pool.parallelize_reduce<listed<I>, append>(first, last, std::vector<long>{})), wanted);
}

using tasks::numbers;

}  // namespace

// ---- how it is cut

TEST(Parallelize, CutsEvenly) {
  procpool::ProcessPool pool{4};
  EXPECT_EQ(pool.parallelize<size_of>(numbers(11)), (Sizes{3, 3, 3, 2}));  // one for each worker
  EXPECT_EQ(pool.parallelize<size_of>(numbers(12)), (Sizes{3, 3, 3, 3}));
  EXPECT_EQ(pool.parallelize<size_of>(numbers(3)), (Sizes{1, 1, 1}));
  EXPECT_EQ(pool.with({.slices = 1}).parallelize<size_of>(numbers(11)), Sizes{11});
  EXPECT_EQ(pool.with({.slices = 100}).parallelize<size_of>(numbers(11)), Sizes(11, 1));
}

TEST(Parallelize, EverySliceDiffersByAtMostOneAndTheyCoverAll) {
  procpool::ProcessPool pool{2};
  for (int count = 0; count <= 20; ++count) {
    for (int const slices : {1, 2, 3, 7, 20, 21}) {
      SCOPED_TRACE(std::to_string(count) + " in " + std::to_string(slices));
      auto const view = procpool::CallOptions{.slices = slices};
      Sizes const sizes = pool.with(view).parallelize<size_of>(numbers(count));
      ASSERT_EQ(sizes.size(), static_cast<std::size_t>(std::min(count, slices)));
      EXPECT_EQ(pool.with(view).parallelize<copy>(numbers(count)), numbers(count));
      if (sizes.empty()) continue;
      EXPECT_TRUE(std::ranges::is_sorted(sizes, std::greater()));
      EXPECT_LE(sizes.front() - sizes.back(), 1u);
      EXPECT_GE(sizes.back(), 1u);
    }
  }
}

TEST(Parallelize, OfNothingStartsNothing) {
  procpool::ProcessPool pool{2};
  EXPECT_TRUE(pool.parallelize<doubled>(Ints{}).empty());
  EXPECT_TRUE(pool.parallelize<size_of>(Ints{}).empty());
  pool.parallelize<note_all>(Ints{});
  auto const timed = pool.parallelize_timed<doubled>(Ints{});
  EXPECT_TRUE(timed.values.empty());
  EXPECT_TRUE(timed.slices.empty());
  EXPECT_EQ(pool.stats().submitted, 0u);
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(Parallelize, RefusesOptionsThatMakeNoSense) {
  procpool::ProcessPool pool{1};
  for (int const slices : {0, -1}) {
    EXPECT_THROW(pool.with({.slices = slices}).parallelize<size_of>(numbers(3)),
                 std::invalid_argument);
    EXPECT_THROW(pool.with({.slices = slices}).parallelize_timed<size_of>(numbers(3)),
                 std::invalid_argument);
  }
  EXPECT_THROW(pool.with({.slices = 2}).map<fail_at_30>(std::vector<Ints>{}),
               std::invalid_argument);
  EXPECT_THROW(pool.with({.slices = 2}).outcomes().map<fail_at_30>(std::vector<Ints>{}),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.with({.slices = 2}).submit<fail_at_30>(Ints{})),
               std::invalid_argument);
  EXPECT_THROW(pool.with({.chunk = 2}).parallelize<size_of>(numbers(3)), std::invalid_argument);
  EXPECT_THROW(pool.with({.window = 2}).parallelize<size_of>(numbers(3)), std::invalid_argument);
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(Parallelize, TakesTheNumberOfSlicesFromTheDefaultsOfThePool) {
  procpool::ProcessPool pool{{.workers = 2, .defaults = {.slices = 5}}};
  EXPECT_EQ(pool.parallelize<size_of>(numbers(11)), (Sizes{3, 2, 2, 2, 2}));
  EXPECT_EQ(pool.with({.slices = 3}).parallelize<size_of>(numbers(11)), (Sizes{4, 4, 3}));
  EXPECT_EQ(pool.map<doubled>(std::vector<Ints>{{1}}), (std::vector<Ints>{{2}}));
}

// ---- what it takes and gives

TEST(Parallelize, TakesSlicesInEveryForm) {
  procpool::ProcessPool pool{3};
  Ints const input = numbers(10);
  EXPECT_EQ(pool.parallelize<copy>(input), input);
  EXPECT_EQ(pool.parallelize<doubled>(input), (Ints{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}));
  EXPECT_EQ(pool.parallelize<evens>(input), (Ints{0, 2, 4, 6, 8}));
  EXPECT_EQ(pool.parallelize(evens, input), (Ints{0, 2, 4, 6, 8}));
  EXPECT_EQ(pool.parallelize([](Ints const& slice) { return slice.size(); }, input),
            (Sizes{4, 3, 3}));
  EXPECT_EQ(pool.parallelize([](auto const& slice) { return slice.front(); }, input),
            (Ints{0, 4, 7}));
  EXPECT_EQ(pool.with({.slices = 2}).parallelize<halves>(numbers(3)),
            (std::vector<double>{0, 0.5, 1}));
  EXPECT_EQ(pool.with({.slices = 2}).parallelize<sum>(numbers(5)), (std::vector<double>{3, 7}));
  EXPECT_EQ(pool.with({.slices = 2}).parallelize<characters>(std::vector{"a", "bc", "def"}),
            (Sizes{3, 3}));
}

TEST(Parallelize, TakesRangesOfEveryKind) {
  procpool::ProcessPool pool{3};
  Ints const input = numbers(10);
  EXPECT_EQ(pool.parallelize<copy>(std::list(input.begin(), input.end())), input);
  EXPECT_EQ(pool.parallelize<copy>(std::forward_list(input.begin(), input.end())), input);
  EXPECT_EQ(pool.parallelize<copy>(std::views::iota(0, 10)), input);
  EXPECT_EQ(pool.parallelize<copy>(std::array{5, 6}), (Ints{5, 6}));
  std::istringstream text("0 1 2 3 4 5 6 7 8 9");
  EXPECT_EQ(pool.parallelize<copy>(std::views::istream<int>(text)), input);
  auto odds = std::views::iota(0, 10) | std::views::filter([](int x) { return x % 2 == 1; });
  EXPECT_EQ(pool.parallelize<copy>(odds), (Ints{1, 3, 5, 7, 9}));
  EXPECT_EQ(pool.with({.slices = 2}).parallelize<size_of>(odds), (Sizes{3, 2}));
  auto boxed = pool.parallelize<boxes>(input);
  EXPECT_EQ(pool.parallelize<unbox_all>(std::ranges::subrange(std::move_iterator(boxed.begin()),
                                                              std::move_iterator(boxed.end()))),
            input);
}

TEST(Parallelize, ReadsNoFurtherThanItMust) {
  procpool::ProcessPool pool{3};
  std::istringstream text("0 1 2 3 4");
  auto const four = std::views::counted(std::istream_iterator<int>(text), 4);
  EXPECT_EQ(pool.parallelize<copy>(four), (Ints{0, 1, 2, 3}));
  int left = 0;
  EXPECT_TRUE(text >> left);
  EXPECT_EQ(left, 4);
}

TEST(Parallelize, PutsResultsTogetherInOrder) {
  procpool::ProcessPool pool{3};
  std::vector<bool> const bits{true, false, false, true, true};
  EXPECT_EQ(pool.parallelize<odd>(bits), (std::vector<bool>{false, true, true, false, false}));
  EXPECT_EQ(pool.parallelize<pairs>(numbers(4)),
            (std::vector<Ints>{{0, 0}, {1, -1}, {2, -2}, {3, -3}}));
  auto const boxed = pool.parallelize<boxes>(numbers(7));
  ASSERT_EQ(boxed.size(), 7u);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(*boxed[static_cast<std::size_t>(i)], i);
  // The first slice is the slowest.
  auto const slow_first = [](Ints slice) {
    if (slice.front() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return slice;
  };
  EXPECT_EQ(pool.with({.slices = 20}).parallelize(slow_first, numbers(100)), numbers(100));
}

TEST(Parallelize, OfAVoidFunctionGivesNothing) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  static_assert(std::is_void_v<decltype(pool.parallelize<note_all>(Ints{}))>);
  pool.parallelize<note_all>(numbers(100));
  EXPECT_EQ(trace.size(), 100u);
  EXPECT_EQ(trace.counts().size(), 100u);
  EXPECT_EQ(pool.stats().done, 2u);
}

TEST(Parallelize, PassesOtherArgumentsBehindTheSlice) {
  procpool::ProcessPool pool{2};
  Ints const offsets{100, 200};
  EXPECT_EQ(pool.parallelize<scaled>(numbers(4), 10, offsets), (Ints{200, 210, 220, 230}));
  EXPECT_EQ(pool.parallelize(scaled, numbers(4), 2.0, Ints{0, 1}), (Ints{1, 3, 5, 7}));
  EXPECT_EQ(pool.parallelize([](auto const& slice, int more) { return slice.front() + more; },
                             numbers(4), 5),
            (Ints{5, 7}));
  auto const timed = pool.parallelize_timed<scaled>(numbers(4), 10, offsets);
  EXPECT_EQ(timed.values, (Ints{200, 210, 220, 230}));
}

TEST(Parallelize, CarriesLargeResults) {
  procpool::ProcessPool pool{2};
  auto const values = pool.parallelize<many_from>(numbers(2));
  std::size_t const each = std::size_t{1} << 22;
  ASSERT_EQ(values.size(), 2 * each);  // 64 MiB
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], static_cast<double>(i % each) + (i < each ? 0 : 1e7)) << i;
  }
}

// ---- errors: a slice is an element

TEST(Parallelize, ThrowsWhatASliceThrows) {
  procpool::ProcessPool pool{2};
  auto const error = support::thrown_by<procpool::FromWorker<std::out_of_range>>(
      [&] { pool.with({.slices = 10}).parallelize<fail_at_30>(numbers(100)); });
  EXPECT_STREQ(error.what(), "thirty");
  EXPECT_EQ(error.element, 3u);
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.with({.slices = 10}).parallelize<crash_at_30>(numbers(100)); });
  EXPECT_EQ(died.element(), 3u);
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_THROW(pool.with({.slices = 5}).parallelize_timed<fail_at_30>(numbers(100)),
               std::out_of_range);
  EXPECT_EQ(pool.parallelize<size_of>(numbers(4)), (Sizes{2, 2}));
}

TEST(Parallelize, InputsThatThrowAreThrownByTheCall) {
  procpool::ProcessPool pool{2};
  auto const inputs = std::views::iota(0, 100) | std::views::transform([](int x) {
                        if (x == 70) throw std::underflow_error("no more of these");
                        return x;
                      });
  EXPECT_THROW(pool.with({.slices = 10}).parallelize<copy>(inputs), std::underflow_error);
  EXPECT_THROW(pool.parallelize_timed<copy>(inputs), std::underflow_error);
  EXPECT_EQ(pool.stats().done, pool.stats().submitted);
  EXPECT_EQ(pool.parallelize<size_of>(numbers(4)), (Sizes{2, 2}));
  pool.close();
  EXPECT_THROW(pool.parallelize<size_of>(numbers(4)), procpool::PoolClosed);
}

TEST(Parallelize, CollectsTheErrorsOfSlices) {
  procpool::ProcessPool pool{2};
  auto const collect = procpool::CallOptions{.slices = 10, .on_error = OnError::collect};
  auto const inputs = Ints{30, 1, 2, 30, 4, 5, 6, 7, 8, 30};
  auto const thrown = [&](auto const& call) {
    auto const errors = support::thrown_by<procpool::ElementErrors>(call);
    ASSERT_EQ(errors.failures().size(), 3u);
    EXPECT_EQ(errors.failures()[0].element, 0u);
    EXPECT_EQ(errors.failures()[1].element, 3u);
    EXPECT_EQ(errors.failures()[2].element, 9u);
  };
  thrown([&] { pool.with(collect).parallelize<fail_at_30>(inputs); });
  thrown([&] { pool.with(collect).parallelize<crash_at_30>(inputs); });
  thrown([&] { static_cast<void>(pool.with(collect).parallelize_timed<fail_at_30>(inputs)); });
}

TEST(Parallelize, FinishesOrStopsAsItIsTold) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  auto const first_fails = [](Ints const& slice) {
    support::Trace::note(slice.front());
    if (slice.front() == 0) throw std::out_of_range("the first");
  };
  EXPECT_THROW(pool.with({.slices = 500, .on_error = OnError::finish})
                   .parallelize(first_fails, numbers(500)),
               std::out_of_range);
  EXPECT_EQ(trace.counts().size(), 500u);
  trace.clear();
  EXPECT_THROW(pool.with({.slices = 500}).parallelize(first_fails, numbers(500)),
               std::out_of_range);
  EXPECT_LT(trace.size(), 500u);
}

// ---- timed

TEST(ParallelizeTimed, TellsWhereTheTimeWent) {
  procpool::ProcessPool pool{2};
  auto const timed = pool.with({.slices = 4}).parallelize_timed<doubled>(numbers(11));
  EXPECT_EQ(timed.values, pool.parallelize<doubled>(numbers(11)));
  ASSERT_EQ(timed.slices.size(), 4u);
  std::size_t next = 0;
  for (auto const& slice : timed.slices) {
    EXPECT_EQ(slice.first, next);
    EXPECT_EQ(slice.count, next < 9 ? 3u : 2u);
    next += slice.count;
    EXPECT_GE(slice.worker, 0);
    EXPECT_LT(slice.worker, 2);
    EXPECT_GT(slice.took.count(), 0);
    EXPECT_GE(timed.elapsed, slice.took);
  }
  EXPECT_EQ(next, 11u);
}

TEST(ParallelizeTimed, OfSinglesAndOfNothing) {
  procpool::ProcessPool pool{1};
  auto const sizes = pool.with({.slices = 3}).parallelize_timed(size_of, numbers(7));
  EXPECT_EQ(sizes.values, (Sizes{3, 2, 2}));
  auto const timed = pool.with({.slices = 3}).parallelize_timed<sleep_5_ms>(numbers(7));
  static_assert(std::is_same_v<decltype(timed), procpool::Timed<void> const>);
  ASSERT_EQ(timed.slices.size(), 3u);
  for (auto const& slice : timed.slices) EXPECT_GE(slice.took, std::chrono::milliseconds(5));
  EXPECT_GE(timed.elapsed, std::chrono::milliseconds(15));  // one worker
  auto const generic = pool.parallelize_timed([](auto slice) { return slice; }, numbers(7));
  EXPECT_EQ(generic.values, numbers(7));
}

// ---- reduce

TEST(ParallelizeReduce, FoldsAsALoopDoes) {
  procpool::ProcessPool pool{3};
  EXPECT_EQ((pool.parallelize_reduce<to_long, add_longs>(0, 10'001, 0L)), 50'005'000);
  EXPECT_EQ(pool.parallelize_reduce(to_long, add_longs, 1, 5, 100L), 110);
  EXPECT_EQ(pool.parallelize_reduce([](int i) { return i * i; },
                                    [](int a, int b) { return std::max(a, b); }, -7, 6, -1),
            49);
  EXPECT_EQ(pool.parallelize_reduce([](int i) { return i; }, std::plus<>(), 0, 10, 0), 45);
  EXPECT_EQ((pool.parallelize_reduce<to_long, add_longs>(-100, 100, 0L)), -100);
}

TEST(ParallelizeReduce, KeepsTheOrderForAnyNumberOfSlices) {
  procpool::ProcessPool pool{3};
  std::string wanted = "begin";
  for (int i = -3; i < 8; ++i) wanted += digit(i);
  EXPECT_EQ((pool.parallelize_reduce<digit, concatenate>(-3, 8, std::string("begin"))), wanted);
  for (int slices = 1; slices <= 12; ++slices) {
    EXPECT_EQ((pool.with({.slices = slices})
                   .parallelize_reduce<digit, concatenate>(-3, 8, std::string("begin"))),
              wanted);
  }
}

TEST(ParallelizeReduce, CutsIntoSlices) {
  procpool::ProcessPool pool{2};
  auto const elements = [&](auto const& call) {
    auto const before = pool.stats().done;
    call();
    return pool.stats().done - before - 1;  // their values are put together in a worker too
  };
  EXPECT_EQ(elements([&] { pool.parallelize_reduce<to_long, add_longs>(0, 100, 0L); }), 8u);
  EXPECT_EQ(elements([&] { pool.parallelize_reduce<to_long, add_longs>(0, 3, 0L); }), 3u);
  EXPECT_EQ(elements([&] {
              pool.with({.slices = 5}).parallelize_reduce<to_long, add_longs>(0, 100, 0L);
            }),
            5u);
}

TEST(ParallelizeReduce, OfNothingIsTheBeginning) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ((pool.parallelize_reduce<to_long, add_longs>(5, 5, 77L)), 77);
  EXPECT_EQ((pool.parallelize_reduce<digit, concatenate>(-1, -1, std::string("begin"))), "begin");
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(ParallelizeReduce, RefusesWhatMakesNoSense) {
  procpool::ProcessPool pool{1};
  auto const error = support::thrown_by<std::invalid_argument>(
      [&] { pool.parallelize_reduce<to_long, add_longs>(3, -2, 0L); });
  EXPECT_TRUE(support::says(error, "3")) << error.what();
  EXPECT_TRUE(support::says(error, "-2")) << error.what();
  for (int const slices : {0, -4}) {
    EXPECT_THROW((pool.with({.slices = slices}).parallelize_reduce<to_long, add_longs>(0, 3, 0L)),
                 std::invalid_argument);
  }
  EXPECT_THROW((pool.with({.chunk = 4}).parallelize_reduce<to_long, add_longs>(0, 3, 0L)),
               std::invalid_argument);
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(ParallelizeReduce, CountsThroughIntegersOfEveryKind) {
  procpool::ProcessPool pool{2};
  expect_every_one<std::uint8_t>(pool, 0, 255);
  expect_every_one<std::uint8_t>(pool, 100, 101);
  expect_every_one<std::int8_t>(pool, -128, 127);
  expect_every_one<std::int16_t>(pool, -300, 300);
  expect_every_one<int>(pool, INT_MIN, INT_MIN + 20);
  expect_every_one<int>(pool, INT_MAX - 20, INT_MAX);
  expect_every_one<unsigned>(pool, UINT_MAX - 20, UINT_MAX);
  expect_every_one<long>(pool, LONG_MIN, LONG_MIN + 20);
  expect_every_one<long>(pool, LONG_MAX - 20, LONG_MAX);
}

TEST(ParallelizeReduce, PassesOtherArgumentsBehindTheNumber) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ((pool.parallelize_reduce<scaled_number, add>(0, 4, 1000, 10, Ints{5})), 1080);
  EXPECT_EQ(pool.parallelize_reduce(scaled_number, add, 0, 4, 1000, 10, Ints{5}), 1080);
}

TEST(ParallelizeReduce, ThrowsWhatTheFunctionOrTheOperationThrows) {
  procpool::ProcessPool pool{2};
  auto const error = support::thrown_by<procpool::FromWorker<std::out_of_range>>(
      [&] { pool.with({.slices = 10}).parallelize_reduce<number_but_30, add>(0, 100, 0); });
  EXPECT_EQ(error.element, 3u);
  EXPECT_EQ(support::thrown_by<procpool::WorkerDied>([&] {
              pool.with({.slices = 10}).parallelize_reduce<number_but_30, add>(31, 131, 0);
            }).element(),
            2u);
  auto const collect = procpool::CallOptions{.slices = 10, .on_error = OnError::collect};
  auto const errors = support::thrown_by<procpool::ElementErrors>(
      [&] { pool.with(collect).parallelize_reduce<number_but_30, add>(0, 100, 0); });
  ASSERT_EQ(errors.failures().size(), 2u);
  EXPECT_EQ(errors.failures()[0].element, 3u);
  EXPECT_EQ(errors.failures()[1].element, 6u);
  // The error of a slice, and of the function that combines the slices.
  EXPECT_THROW(
      (pool.with({.slices = 2}).parallelize_reduce<number_but_30, add_up_to_1000>(900, 902, 0)),
      std::overflow_error);
  EXPECT_THROW(
      (pool.with({.slices = 1}).parallelize_reduce<number_but_30, add_up_to_1000>(500, 510, 0)),
      std::overflow_error);
  EXPECT_EQ((pool.parallelize_reduce<number_but_30, add_up_to_1000>(0, 10, 0)), 45);
}
