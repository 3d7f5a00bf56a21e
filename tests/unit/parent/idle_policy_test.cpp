// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How long threads spin, and how the dispatcher sleeps: the transition table, row by row.
#include "parent/idle_policy.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace procpool::parent {
namespace {

using Sleep = IdlePolicy::Sleep;
using Time = IdlePolicy::Time;

// While so many workers are busy.
Time spin_time(IdlePolicy& policy, std::uint64_t busy) {
  policy.note_busy(busy);
  return policy.spin_time();
}

TEST(IdlePolicy, ChoosesTheSleepOfTheDispatcher) {
  struct Row {
    std::size_t outcomes;
    bool in_sight;
    Sleep sleep;
  };
  constexpr std::size_t many = IdlePolicy::many_outcomes;
  constexpr std::array rows{
      Row{0, false, Sleep::deep},          Row{0, true, Sleep::watching},
      Row{many - 1, false, Sleep::deep},   Row{many - 1, true, Sleep::watching},
      Row{many, false, Sleep::short_poll}, Row{many, true, Sleep::short_poll},
      Row{1'000, true, Sleep::short_poll},
  };
  for (Row const& row : rows) {
    EXPECT_EQ(IdlePolicy::next_sleep(row.outcomes, row.in_sight), row.sleep)
        << row.outcomes << " outcomes, " << (row.in_sight ? "work in sight" : "nothing in sight");
  }
}

TEST(IdlePolicy, SpinsOnlyOnFreeCpus) {
  IdlePolicy policy;
  EXPECT_EQ(spin_time(policy, 0), IdlePolicy::spin);  // there is one at least
  EXPECT_EQ(spin_time(policy, 1), Time(0));
  policy.set_cpus(4);
  EXPECT_EQ(spin_time(policy, 3), IdlePolicy::spin);
  EXPECT_EQ(spin_time(policy, 4), Time(0));
  policy.spin_begins();
  EXPECT_EQ(spin_time(policy, 2), IdlePolicy::spin);
  EXPECT_EQ(spin_time(policy, 3), Time(0));
  policy.spin_ends();
  EXPECT_EQ(spin_time(policy, 3), IdlePolicy::spin);
}

TEST(IdlePolicy, LeavesSpinsOutWhenSeveralInARowLoseTheirCpu) {
  IdlePolicy policy;
  for (unsigned i = 1; i < IdlePolicy::preempted_in_a_row; ++i) policy.note_spin(true);
  EXPECT_EQ(spin_time(policy, 0), IdlePolicy::spin);
  policy.note_spin(true);
  for (unsigned i = 0; i < IdlePolicy::left_out; ++i) ASSERT_EQ(spin_time(policy, 0), Time(0)) << i;
  EXPECT_EQ(spin_time(policy, 0), IdlePolicy::spin);
  // The next trial says it again at once.
  policy.note_spin(true);
  EXPECT_EQ(spin_time(policy, 0), Time(0));
}

TEST(IdlePolicy, ASpinThatKeepsItsCpuEndsTheRow) {
  IdlePolicy policy;
  for (unsigned i = 1; i < IdlePolicy::preempted_in_a_row; ++i) policy.note_spin(true);
  policy.note_spin(false);
  for (unsigned i = 1; i < IdlePolicy::preempted_in_a_row; ++i) policy.note_spin(true);
  EXPECT_EQ(spin_time(policy, 0), IdlePolicy::spin);
}

TEST(IdlePolicy, ServesManyThreads) {
  IdlePolicy policy;
  policy.set_cpus(2);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&policy, t] {
      for (int i = 0; i < 10'000; ++i) {
        policy.spin_begins();
        static_cast<void>(spin_time(policy, static_cast<std::uint64_t>(t)));
        policy.note_spin(i % 3 == t);
        policy.spin_ends();
      }
    });
  }
  threads.clear();
  policy.note_spin(false);
  // At most as many as are left out by one row, and by then no thread is counted as spinning.
  unsigned asked = 0;
  while (spin_time(policy, 1) == Time(0) && asked <= IdlePolicy::left_out) ++asked;
  EXPECT_LE(asked, IdlePolicy::left_out);
  EXPECT_EQ(spin_time(policy, 2), Time(0));
}

}  // namespace
}  // namespace procpool::parent
