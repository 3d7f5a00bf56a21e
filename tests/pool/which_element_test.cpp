// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Every error of an element tells which it is of: element() and task() of TaskTimeout and
// TaskCancelled, from every operation, in streams, and with each OnError. (BadMessage:
// unit/collect_test.cpp and hostile_test.cpp.)

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <numeric>
#include <procpool.hpp>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::OnError;
using procpool::Start;
using procpool::TaskCancelled;
using procpool::TaskTimeout;

int overruns_at_3(int x) {
  if (x == 3) std::this_thread::sleep_for(10min);
  return x;
}
int sleeps(int) {
  std::this_thread::sleep_for(10min);
  return 0;
}
using tasks::numbers;

class WhichElement : public testing::TestWithParam<Start> {
 protected:
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = GetParam()}}};
};

TEST_P(WhichElement, ATimeoutTells) {
  auto const limited = [this] { return pool.with({.chunk = 8, .timeout = 60ms}); };
  auto const expect_third = [](TaskTimeout const& error) {
    EXPECT_EQ(error.element(), 3u);
    EXPECT_GT(error.task(), 0u);
  };
  expect_third(support::thrown_by<TaskTimeout>([&] { limited().map<overruns_at_3>(numbers(8)); }));
  for (OnError const how : {OnError::stop, OnError::finish}) {
    expect_third(support::thrown_by<TaskTimeout>(
        [&] { pool.with({.on_error = how, .timeout = 60ms}).map<overruns_at_3>(numbers(8)); }));
  }
  auto const all = support::thrown_by<procpool::ElementErrors>([&] {
    pool.with({.on_error = OnError::collect, .timeout = 60ms}).map<overruns_at_3>(numbers(8));
  });
  ASSERT_EQ(all.failures().size(), 1u);
  expect_third(support::thrown_by<TaskTimeout>([&] { all.failures().front().error.rethrow(); }));
  auto const outcomes = limited().outcomes().map<overruns_at_3>(numbers(8));
  expect_third(support::error_of<TaskTimeout>(outcomes[3]));
  EXPECT_TRUE(outcomes[4].has_value());

  auto const single =
      support::thrown_by<TaskTimeout>([&] { pool.with({.timeout = 60ms}).call<sleeps>(1); });
  EXPECT_EQ(single.element(), 0u);
  EXPECT_GT(single.task(), 0u);
}

TEST_P(WhichElement, ATimeoutInAStreamTells) {
  int seen = 0;
  auto stream = pool.with({.timeout = 60ms}).imap<overruns_at_3>(numbers(8));
  for (auto it = stream.begin(); it != stream.end(); ++it, ++seen) {
    if (seen != 3) continue;
    auto const error = support::thrown_by<TaskTimeout>([&] { static_cast<void>(*it); });
    EXPECT_EQ(error.element(), 3u);
    EXPECT_GT(error.task(), 0u);
  }
  EXPECT_EQ(seen, 8);
  bool failed = false;
  auto unordered = pool.with({.timeout = 60ms}).imap_unordered<overruns_at_3>(numbers(8));
  for (auto it = unordered.begin(); it != unordered.end(); ++it) {
    try {
      static_cast<void>(*it);
    } catch (TaskTimeout const& error) {
      EXPECT_EQ(error.element(), 3u);
      failed = true;
    }
  }
  EXPECT_TRUE(failed);
}

TEST_P(WhichElement, ASecondAttemptThatOverrunsTells) {
  auto const error = support::thrown_by<TaskTimeout>([&] {
    pool.with({.timeout = 60ms, .retries = {.times = 1}}).map<overruns_at_3>(numbers(5));
  });
  EXPECT_EQ(error.element(), 3u);
  EXPECT_TRUE(support::says(error, "attempt 2"));
}

TEST_P(WhichElement, WhatWaitedTooLongTells) {
  auto const busy = pool.map_async<sleeps>(numbers(2));
  auto const outcomes =
      pool.with({.chunk = 5, .queue_timeout = 60ms}).outcomes().map<sleeps>(numbers(20));
  ASSERT_EQ(outcomes.size(), 20u);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    auto const error = support::error_of<TaskTimeout>(outcomes[i]);
    EXPECT_EQ(error.element(), i);
    EXPECT_GT(error.task(), 0u);
  }
  pool.terminate();
}

TEST_P(WhichElement, WhatWasCancelledTells) {
  auto results =
      pool.with({.chunk = 7, .on_error = OnError::collect}).map_async<sleeps>(numbers(50));
  std::this_thread::sleep_for(50ms);
  results.cancel();
  auto const all = support::thrown_by<procpool::ElementErrors>([&] { results.get(); });
  ASSERT_EQ(all.failures().size(), 50u);
  std::uint64_t task = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    auto const error =
        support::thrown_by<TaskCancelled>([&] { all.failures()[i].error.rethrow(); });
    EXPECT_EQ(error.element(), i);
    if (i == 0) task = error.task();
    EXPECT_EQ(error.task(), task);
    EXPECT_GT(error.task(), 0u);
  }
}

TEST_P(WhichElement, WhatEndsWithItsPoolTells) {
  auto results = pool.with({.on_error = OnError::collect}).map_async<sleeps>(numbers(20));
  auto single = pool.submit<sleeps>(1);
  pool.terminate();
  auto const all = support::thrown_by<procpool::ElementErrors>([&] { results.get(); });
  for (std::size_t i = 0; i < all.failures().size(); ++i) {
    EXPECT_EQ(
        support::thrown_by<TaskCancelled>([&] { all.failures()[i].error.rethrow(); }).element(), i);
  }
  EXPECT_GT(support::thrown_by<TaskCancelled>([&] { single.get(); }).task(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Starts, WhichElement, testing::Values(Start::spawn, Start::forkserver),
                         support::start_name);

}  // namespace
