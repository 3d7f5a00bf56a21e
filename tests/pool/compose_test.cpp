// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// when_all, when_any, as_completed.

#include <gtest/gtest.h>

#include <algorithm>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"

namespace {

using procpool::as_completed;
using procpool::Future;
using procpool::when_all;
using procpool::when_any;

using tasks::square;
std::string text(int x) { return std::to_string(x); }
using tasks::nothing;
int fail_saying(int x) { throw std::out_of_range(std::to_string(x)); }
using tasks::after;

TEST(WhenAll, GivesATupleInTheOrderOfTheArguments) {
  procpool::ProcessPool pool{2};
  auto [a, b, c, d] = when_all(pool.submit<after>(30), pool.submit<text>(7), pool.submit<nothing>(),
                               pool.map_async<square>(std::vector<int>{1, 2}))
                          .get();
  EXPECT_EQ(a, 30);
  EXPECT_EQ(b, "7");
  EXPECT_EQ(c, std::monostate());
  EXPECT_EQ(d, (std::vector<int>{1, 4}));
}

TEST(WhenAll, GivesAVectorForARange) {
  procpool::ProcessPool pool{2};
  std::vector<Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(pool.submit<square>(i));
  auto all = when_all(std::move(futures));
  std::vector<int> const values = all.get();
  ASSERT_EQ(values.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i * i);
}

TEST(WhenAll, OfNothingIsReady) {
  auto all = when_all(std::vector<Future<int>>());
  EXPECT_TRUE(all.ready());
  EXPECT_TRUE(all.get().empty());
  auto none = when_all(std::vector<Future<void>>());
  none.get();
}

TEST(WhenAll, EndsWhenAllHaveEndedWithTheFirstFailureByPosition) {
  procpool::ProcessPool pool{2};
  auto all = when_all(pool.submit<square>(1), pool.submit<after>(50), pool.submit<fail_saying>(2),
                      pool.submit<fail_saying>(1));
  all.wait();
  EXPECT_EQ(pool.stats().done, 4u);
  EXPECT_STREQ(support::thrown_by<std::out_of_range>([&] { all.get(); }).what(), "2");
}

TEST(WhenAll, ComposesFurther) {
  procpool::ProcessPool pool{2};
  auto sum = when_all(pool.submit<square>(2), pool.submit<square>(3)).then([](auto const& both) {
    return std::get<0>(both) + std::get<1>(both);
  });
  auto more = when_all(std::move(sum), pool.submit<square>(1));
  auto [thirteen, one] = more.get();
  EXPECT_EQ(thirteen + one, 14);
}

TEST(WhenAll, OfTwoPools) {
  procpool::ProcessPool second{1};
  Future<std::tuple<int, int>> both;
  {
    procpool::ProcessPool first{1};
    both = when_all(first.submit<square>(2), second.submit<after>(30));
  }
  EXPECT_EQ(both.get(), std::tuple(4, 30));
}

TEST(WhenAll, RefusesWhatRefersToNothing) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(static_cast<void>(when_all(pool.submit<square>(1), Future<int>())),
               std::logic_error);
  EXPECT_THROW(static_cast<void>(when_all(std::vector<Future<int>>(2))), std::logic_error);
}

TEST(WhenAny, TellsTheFirstAndGivesAllBack) {
  procpool::ProcessPool pool{2};
  auto any = when_any(pool.submit<after>(60'000), pool.submit<text>(5)).get();
  EXPECT_EQ(any.index, 1u);
  EXPECT_EQ(std::get<1>(any.futures).get(), "5");
  EXPECT_FALSE(std::get<0>(any.futures).ready());
  pool.terminate();
  EXPECT_THROW(std::get<0>(any.futures).get(), procpool::TaskCancelled);
}

TEST(WhenAny, OfARange) {
  procpool::ProcessPool pool{2};
  std::vector<Future<int>> futures;
  futures.push_back(pool.submit<after>(1'000));
  futures.push_back(pool.submit<fail_saying>(3));
  futures.push_back(pool.submit<after>(1'000));
  auto any = when_any(std::move(futures)).get();
  EXPECT_EQ(any.index, 1u);
  EXPECT_THROW(any.futures[1].get(), std::out_of_range);
  EXPECT_EQ(any.futures[0].get(), 1'000);
  EXPECT_EQ(any.futures[2].get(), 1'000);
  EXPECT_THROW(static_cast<void>(when_any(std::vector<Future<int>>())), std::invalid_argument);
}

TEST(WhenAny, OfWhatHasEndedIsReady) {
  procpool::ProcessPool pool{1};
  auto ended = pool.submit<square>(1);
  ended.wait();
  auto any = when_any(std::move(ended), pool.submit<after>(100));
  EXPECT_TRUE(any.ready());
  EXPECT_EQ(any.get().index, 0u);
}

TEST(AsCompleted, GivesFuturesInTheOrderOfTheirEnds) {
  procpool::ProcessPool pool{3};
  static_cast<void>(pool.map<square>(std::vector<int>{1, 2, 3}));  // the workers are there
  std::vector<Future<int>> futures;
  for (int const time : {400, 1, 150}) futures.push_back(pool.submit<after>(time));
  std::vector<int> order;
  for (Future<int>& future : as_completed(futures)) {
    EXPECT_TRUE(future.ready());
    order.push_back(future.get());
  }
  EXPECT_EQ(order, (std::vector<int>{1, 150, 400}));
}

TEST(AsCompleted, GivesEachOnceAlsoFailedOnes) {
  procpool::ProcessPool pool{2};
  std::vector<Future<int>> futures;
  for (int i = 0; i < 300; ++i) {
    futures.push_back(i % 10 == 3 ? pool.submit<fail_saying>(i) : pool.submit<square>(i));
  }
  std::vector<int> seen;
  int failed = 0;
  for (Future<int>& future : as_completed(futures)) {
    auto const index = static_cast<int>(&future - futures.data());
    seen.push_back(index);
    try {
      EXPECT_EQ(future.get(), index * index);
    } catch (std::out_of_range const&) {
      ++failed;
    }
  }
  std::ranges::sort(seen);
  EXPECT_TRUE(std::ranges::equal(seen, std::views::iota(0, 300)));
  EXPECT_EQ(failed, 30);
}

TEST(AsCompleted, KeepsATemporaryAndMayBeLeft) {
  procpool::ProcessPool pool{2};
  auto const futures = [&pool] {
    std::vector<Future<int>> made;
    for (int i = 0; i < 10; ++i) made.push_back(pool.submit<square>(i));
    return made;
  };
  int sum = 0;
  for (auto& future : as_completed(futures())) sum += future.get();
  EXPECT_EQ(sum, 285);
  int taken = 0;
  for (auto& future : as_completed(futures())) {
    static_cast<void>(future.get());
    if (++taken == 2) break;
  }
  for (auto& future : as_completed(std::vector<Future<int>>())) static_cast<void>(future);
  EXPECT_THROW(static_cast<void>(as_completed(std::vector<Future<int>>(1))), std::logic_error);
}

TEST(AsCompleted, TakesResultsToo) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Results<int>> all;
  all.push_back(pool.map_async<square>(std::vector<int>{1, 2}));
  all.push_back(pool.map_async<square>(std::vector<int>{3}));
  std::size_t values = 0;
  for (auto& results : as_completed(all)) values += results.get().size();
  EXPECT_EQ(values, 3u);
}

}  // namespace
