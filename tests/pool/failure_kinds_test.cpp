// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What kind of failure an outcome tells, for each way in which an element can end without a value.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <procpool.hpp>
#include <stdexcept>
#include <vector>

namespace {

using namespace std::chrono_literals;
using procpool::FailureKind;
using procpool::Outcome;

enum class Act { nothing, throws, dies, waits, calls_a_pool_that_dies };

int act(Act what) {
  switch (what) {
    case Act::nothing: break;
    case Act::throws: throw std::out_of_range("outside");
    case Act::dies: ::raise(SIGKILL); break;
    case Act::waits: ::pause(); break;
    case Act::calls_a_pool_that_dies: procpool::ProcessPool{1}.call<act>(Act::dies);
  }
  return 1;
}

// Fails to be encoded, which is code of the task's own.
struct Unwilling {
  template <class A>
  void serialize(A&, unsigned) {
    throw std::logic_error("not me");
  }
};
Unwilling unwilling(int) { return {}; }

template <class T>
FailureKind kind_of(std::vector<Outcome<T>> const& outcomes) {
  EXPECT_FALSE(outcomes.at(0));
  return outcomes.at(0).error().kind();
}

class FailureKinds : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
};

TEST_P(FailureKinds, AreTold) {
  EXPECT_TRUE(pool.outcomes().map<act>(std::vector{Act::nothing}).at(0));
  EXPECT_EQ(kind_of(pool.outcomes().map<act>(std::vector{Act::throws})), FailureKind::threw);
  EXPECT_EQ(kind_of(pool.outcomes().map<act>(std::vector{Act::dies})), FailureKind::died);
  EXPECT_EQ(kind_of(pool.outcomes().map<act>(std::vector{Act::calls_a_pool_that_dies})),
            FailureKind::threw);
  EXPECT_EQ(kind_of(pool.with({.timeout = 50ms}).outcomes().map<act>(std::vector{Act::waits})),
            FailureKind::timed_out);

  auto kind = pool.submit<act>(Act::waits).then([](Outcome<int> const& outcome) {
    return outcome.error().kind();
  });
  pool.terminate();
  EXPECT_EQ(kind.get(), FailureKind::cancelled);
}

TEST_P(FailureKinds, OfAResultThatThrowsWhenItIsSaved) {
  EXPECT_EQ(kind_of(pool.outcomes().map<unwilling>(std::vector{1})), FailureKind::threw);
  EXPECT_TRUE(pool.outcomes().map<act>(std::vector{Act::nothing}).at(0));
}

INSTANTIATE_TEST_SUITE_P(Start, FailureKinds,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         [](auto const& tested) {
                           return tested.param == procpool::Start::spawn ? "spawn" : "forkserver";
                         });

}  // namespace
