// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The states of a worker: which follow each other, and how the worker counts in the pool meanwhile.
#include "parent/worker_state.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace procpool::parent {
namespace {

using S = WorkerState;

template <class From, class... To>
constexpr bool only_these_follow =
    (int{S::may_follow<From, S::Vacant>} + S::may_follow<From, S::ForkRequested> +
     S::may_follow<From, S::ForkCancelled> + S::may_follow<From, S::Starting> +
     S::may_follow<From, S::Initializing> + S::may_follow<From, S::Ready> +
     S::may_follow<From, S::Leaving> + S::may_follow<From, S::Dead>) == sizeof...(To) &&
    (S::may_follow<From, To> && ...);

// A transition that is not listed here does not compile.
static_assert(only_these_follow<S::Vacant, S::ForkRequested, S::Starting>);
static_assert(only_these_follow<S::ForkRequested, S::Starting, S::ForkCancelled, S::Vacant>);
static_assert(only_these_follow<S::ForkCancelled, S::Leaving, S::Vacant>);
static_assert(only_these_follow<S::Starting, S::Initializing, S::Ready, S::Leaving, S::Dead>);
static_assert(only_these_follow<S::Initializing, S::Ready, S::Leaving, S::Dead>);
static_assert(only_these_follow<S::Ready, S::Leaving, S::Dead>);
static_assert(only_these_follow<S::Leaving, S::Dead>);
static_assert(only_these_follow<S::Dead, S::Vacant>);

class WorkerStateTest : public ::testing::Test {
 protected:
  struct Counts {
    int starting = 0;
    int ready = 0;
    bool operator==(Counts const&) const = default;
  };

  template <class From, class To>
  void change(To to) {
    ASSERT_TRUE(state_.is<From>());
    state_.change(*state_.get<From>(), std::move(to));
    EXPECT_TRUE(state_.is<To>());
    EXPECT_FALSE(state_.is<From>());
  }

  Counts counts_;
  S state_{[this](WorkerStanding before, WorkerStanding after) {
    EXPECT_NE(before, after) << "nothing to recount";
    if (before == WorkerStanding::starting) --counts_.starting;
    if (before == WorkerStanding::ready) --counts_.ready;
    if (after == WorkerStanding::starting) ++counts_.starting;
    if (after == WorkerStanding::ready) ++counts_.ready;
  }};
};

TEST_F(WorkerStateTest, BeginsVacant) {
  EXPECT_TRUE(state_.is<S::Vacant>());
  EXPECT_EQ(state_.get<S::Ready>(), nullptr);
  EXPECT_NE(state_.get<S::Vacant>(), nullptr);
}

TEST_F(WorkerStateTest, ASpawnedWorkerCountsFromItsStartToItsLeave) {
  change<S::Vacant>(S::Starting{});
  EXPECT_EQ(counts_, (Counts{1, 0}));
  change<S::Starting>(S::Initializing{});
  EXPECT_EQ(counts_, (Counts{1, 0}));
  change<S::Initializing>(S::Ready{});
  EXPECT_EQ(counts_, (Counts{0, 1}));
  change<S::Ready>(S::Leaving{});
  EXPECT_EQ(counts_, (Counts{0, 0}));
  change<S::Leaving>(S::Dead{S::Leaving{}});
  change<S::Dead>(S::Vacant{});
  EXPECT_EQ(counts_, (Counts{0, 0}));
}

TEST_F(WorkerStateTest, AForkedWorkerCountsFromItsRequest) {
  change<S::Vacant>(S::ForkRequested{{}, 7});
  EXPECT_EQ(counts_, (Counts{1, 0}));
  EXPECT_EQ(state_.get<S::ForkRequested>()->request_id, 7u);
  change<S::ForkRequested>(S::Starting{});
  EXPECT_EQ(counts_, (Counts{1, 0}));
  change<S::Starting>(S::Ready{});
  EXPECT_EQ(counts_, (Counts{0, 1}));
  change<S::Ready>(S::Dead{S::Ready{}});
  EXPECT_EQ(counts_, (Counts{0, 0}));
}

TEST_F(WorkerStateTest, ACancelledForkCountsNoMore) {
  change<S::Vacant>(S::ForkRequested{});
  change<S::ForkRequested>(S::ForkCancelled{});
  EXPECT_EQ(counts_, (Counts{0, 0}));
  change<S::ForkCancelled>(S::Leaving{});
  change<S::Leaving>(S::Dead{S::Leaving{}});
  change<S::Dead>(S::Vacant{});
  EXPECT_EQ(counts_, (Counts{0, 0}));
}

TEST_F(WorkerStateTest, ARefusedForkLeavesThePlaceVacant) {
  change<S::Vacant>(S::ForkRequested{});
  change<S::ForkRequested>(S::Vacant{});
  EXPECT_EQ(counts_, (Counts{0, 0}));
}

TEST_F(WorkerStateTest, AFailedStartCountsNoMore) {
  change<S::Vacant>(S::Starting{});
  change<S::Starting>(S::Dead{S::Starting{}});
  EXPECT_EQ(counts_, (Counts{0, 0}));
}

TEST_F(WorkerStateTest, TheDataOfAStateMovesIntoTheNext) {
  change<S::Vacant>(S::Starting{S::TimePoint::max()});
  auto& starting = *state_.get<S::Starting>();
  auto& dead = state_.change(starting, S::Dead{std::move(starting)});
  EXPECT_EQ(std::get<S::Starting>(dead.last).deadline, S::TimePoint::max());
}

}  // namespace
}  // namespace procpool::parent
