// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// imap_unordered: every element once, with its own index, as they end.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using procpool::CallOptions;

using tasks::add;
using tasks::note;
using tasks::square;
void note_or_throw(int x) {
  if (x % 2 != 0) throw std::range_error(std::to_string(x));
  support::Trace::note(x);
}
using tasks::boxed;
int some_fail(int x) {
  if (x == 11) ::raise(SIGSEGV);
  if (x % 10 == 3) throw std::out_of_range(std::to_string(x));
  return x;
}
// Can be made over there and not be read here.
struct UnreadableFourth {
  int value = 0;
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & value;
    if (A::is_loading::value && value % 4 == 1) throw std::domain_error("not this one");
  }
};
UnreadableFourth unreadable_fourth(int x) { return {x}; }
std::string text_after(int x) {
  std::this_thread::sleep_for(std::chrono::microseconds(x * 7919 % 900));
  return std::string(static_cast<std::size_t>(x), 'x');
}

int coalesced(int x, int which, std::string const& gate) {
  if (which != 0) support::Trace::note(x);
  if (x == which) support::wait_at(gate);
  return x;
}

}  // namespace

TEST(Unordered, GivesEveryIndexOnceWithItsValue) {
  procpool::ProcessPool pool{4};
  for (auto const& options :
       {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 7, .window = 3},
        CallOptions{.window = 1}, CallOptions{.chunk = 1000}}) {
    std::map<std::size_t, std::string> results;
    for (auto [index, value] :
         pool.with(options).imap_unordered<text_after>(std::views::iota(0, 200))) {
      EXPECT_TRUE(results.emplace(index, std::move(value)).second) << index << " came twice";
    }
    EXPECT_EQ(results.size(), 200u);
    for (auto const& [index, value] : results) EXPECT_EQ(value, std::string(index, 'x'));
  }
}

TEST(Unordered, TakesRangesAndResultsAsMapDoes) {
  procpool::ProcessPool pool{2};
  std::set<std::pair<std::size_t, int>> sums;
  for (auto [index, value] :
       pool.imap_unordered<add>(std::vector{1, 2, 3, 4}, std::vector{10, 20, 30})) {
    sums.emplace(index, value);
  }
  EXPECT_EQ(sums, (std::set<std::pair<std::size_t, int>>{{0, 11}, {1, 22}, {2, 33}}));
  std::size_t boxes = 0;
  for (auto [index, value] : pool.imap_unordered(boxed, std::views::iota(0, 20))) {
    EXPECT_EQ(*value, static_cast<int>(index));
    ++boxes;
  }
  EXPECT_EQ(boxes, 20u);
  for ([[maybe_unused]] auto const& none : pool.imap_unordered<square>(std::vector<int>{})) {
    ADD_FAILURE();
  }
}

// Behind it, results go on coming, and inputs go on being read.
TEST(Unordered, AnElementThatTakesLongComesLast) {
  procpool::ProcessPool pool{2};
  for (int const window : {4, 100}) {
    support::Gate gate;
    auto stream = pool.with({.chunk = 1, .window = window})
                      .imap_unordered(procpool::bind_back<coalesced>(0, gate.path()),
                                      std::views::iota(0, 50));
    auto it = stream.begin();
    std::set<std::size_t> indices;
    for (int i = 0; i < 49; ++i) {
      indices.insert((*it).index);
      if (i == 48) gate.open();
      ++it;
    }
    EXPECT_EQ(indices.size(), 49u);
    EXPECT_FALSE(indices.contains(0));
    ASSERT_TRUE(it != stream.end());
    EXPECT_EQ((*it).index, 0u);
    ++it;
    EXPECT_TRUE(it == stream.end());
  }
}

TEST(Unordered, ErrorsAreThrownInTheirTurnAndTheStreamGoesOn) {
  procpool::ProcessPool pool{2};
  for (auto const& options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 40}}) {
    auto stream = pool.with(options).imap_unordered<some_fail>(std::views::iota(0, 40));
    std::set<int> values;
    std::set<std::uint64_t> threw;
    std::set<std::uint64_t> died;
    for (auto it = stream.begin(); it != stream.end(); ++it) {
      try {
        auto const [index, value] = *it;
        EXPECT_EQ(value, static_cast<int>(index));
        EXPECT_TRUE(values.insert(value).second);
      } catch (procpool::FromWorker<std::out_of_range> const& error) {
        EXPECT_EQ(error.what(), std::to_string(error.element));
        EXPECT_TRUE(threw.insert(error.element).second);
      } catch (procpool::WorkerDied const& error) {
        EXPECT_EQ(error.signal(), SIGSEGV);
        EXPECT_TRUE(died.insert(error.element()).second);
      }
    }
    EXPECT_EQ(values.size(), 35u);
    EXPECT_EQ(threw, (std::set<std::uint64_t>{3, 13, 23, 33}));
    EXPECT_EQ(died, std::set<std::uint64_t>{11});
  }
}

TEST(Unordered, AResultThatCannotBeReadLeavesTheOthersTheirIndices) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 10}) {
    auto stream =
        pool.with({.chunk = chunk}).imap_unordered<unreadable_fourth>(std::views::iota(0, 30));
    int values = 0;
    int errors = 0;
    for (auto it = stream.begin(); it != stream.end(); ++it) {
      try {
        auto const [index, result] = *it;
        EXPECT_EQ(result.value, static_cast<int>(index));
        ++values;
      } catch (std::domain_error const&) {
        ++errors;
      }
    }
    EXPECT_EQ(values, 22);
    EXPECT_EQ(errors, 8);
  }
}

TEST(Unordered, InputsThatThrowEndItBehindTheResults) {
  procpool::ProcessPool pool{2};
  auto inputs = std::views::iota(0) | std::views::transform([](int x) {
                  if (x == 20) throw std::underflow_error("no more of these");
                  return x;
                });
  auto stream = pool.with({.window = 6}).imap_unordered<square>(inputs);
  std::set<std::size_t> indices;
  EXPECT_THROW(
      {
        for (auto it = stream.begin(); it != stream.end(); ++it) indices.insert((*it).index);
      },
      std::underflow_error);
  EXPECT_EQ(indices.size(), 20u);
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST(Unordered, ReadsNoFurtherThanTheWindow) {
  procpool::ProcessPool pool{2};
  for (int const window : {1, 3, 16}) {
    int pulled = 0;
    auto inputs = std::views::iota(0) | std::views::transform([&pulled](int x) {
                    ++pulled;
                    return x;
                  });
    int results = 0;
    for (auto const& result : pool.with({.window = window}).imap_unordered<square>(inputs)) {
      EXPECT_EQ(result.value, static_cast<int>(result.index * result.index));
      ++results;
      EXPECT_LE(pulled, results + window);
      if (results == 100) break;
    }
  }
  EXPECT_TRUE(support::until([&] { return pool.stats().done == pool.stats().submitted; }));
}

TEST(Unordered, LeftEarlyItCancelsWhatHasNotBegun) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  support::Gate gate;
  std::uint64_t submitted = 0;
  {
    auto stream =
        pool.with({.chunk = 1, .window = 10})
            .imap_unordered(procpool::bind_back<coalesced>(1, gate.path()), std::views::iota(0));
    EXPECT_EQ((*stream.begin()).index, 0u);
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
    submitted = pool.stats().submitted;
  }
  gate.open();
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{0, 1}));
  auto const summary = pool.shutdown();
  EXPECT_EQ(summary.done, 3u);
  EXPECT_EQ(summary.cancelled, submitted - 2);
}

TEST(Unordered, OfAVoidFunctionGivesTheIndices) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  std::set<std::size_t> indices;
  for (auto const& done : pool.imap_unordered<note>(std::views::iota(0, 50))) {
    static_assert(std::is_same_v<decltype(done), procpool::Indexed<void> const&>);
    EXPECT_TRUE(indices.insert(done.index).second);
  }
  EXPECT_EQ(indices.size(), 50u);
  EXPECT_EQ(trace.counts().size(), 50u);

  auto stream = pool.imap_unordered<note_or_throw>(std::views::iota(50, 60));
  indices.clear();
  int threw = 0;
  for (auto it = stream.begin(); it != stream.end(); ++it) {
    try {
      indices.insert((*it).index);
    } catch (std::range_error const&) {
      ++threw;
    }
  }
  EXPECT_EQ(threw, 5);
  EXPECT_EQ(indices, (std::set<std::size_t>{0, 2, 4, 6, 8}));
}

TEST(Unordered, EndsWithItsPool) {
  procpool::ProcessPool pool{2};
  auto stream = pool.with({.window = 8}).imap_unordered<square>(std::views::iota(0));
  EXPECT_LT((*stream.begin()).index, 8u);
  pool.join();
  std::set<std::size_t> indices;
  EXPECT_THROW(
      {
        for (auto it = stream.begin(); it != stream.end(); ++it) indices.insert((*it).index);
      },
      procpool::PoolClosed);
  EXPECT_LE(indices.size(), 8u);
  EXPECT_GE(indices.size(), 1u);
}
