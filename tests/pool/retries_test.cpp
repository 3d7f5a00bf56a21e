// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Retries: which failures are tried again, how often, and what is told in the end.

#include <gtest/gtest.h>

#include <csignal>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Retries;
using procpool::thrown;
using procpool::WorkerDied;

// How often the element was begun before, over all workers.
int attempts_before(int x) {
  support::Trace::note(x);
  char const* const path = std::getenv(support::Trace::variable);
  std::FILE* const file = std::fopen(path, "r");
  std::int64_t number = 0;
  int count = -1;
  while (std::fread(&number, sizeof number, 1, file) == 1) count += number == x ? 1 : 0;
  std::fclose(file);
  return count;
}

int dies_twice(int x) {
  if (x == 7 && attempts_before(x) < 2) ::raise(SIGKILL);
  if (x != 7) support::Trace::note(x);
  return x;
}
int dies_at_seven(int x) {
  support::Trace::note(x);
  if (x == 7) ::raise(SIGSEGV);
  return x;
}
int hangs_once(int x) {
  if (attempts_before(x) == 0) std::this_thread::sleep_for(10min);
  return x;
}
int throws_twice(int x) {
  if (attempts_before(x) < 2) throw std::out_of_range("not yet");
  return x;
}

TEST(Retry, ACrashIsTriedAgainAndNeighboursRunOnce) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 5, 40}) {
    trace.clear();
    auto const results = pool.with({.chunk = chunk, .retries = {.times = 5}})
                             .map<dies_twice>(std::views::iota(0, 40));
    for (int i = 0; i < 40; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i);
    for (auto const& [element, times] : trace.counts()) EXPECT_EQ(times, element == 7 ? 3 : 1);
  }
}

// Of a value too, in a stream as well.
TEST(Retry, AreCountedByTheOutcome) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto view = pool.with({.chunk = 4, .retries = {.times = 5}}).outcomes();
  auto const expect_attempts = [](auto const& outcome, int x) {
    ASSERT_TRUE(outcome) << support::text_of(outcome);
    EXPECT_EQ(outcome.attempts(), x == 7 ? 3u : 1u) << x;
  };
  auto const outcomes = view.map<dies_twice>(std::views::iota(0, 10));
  for (int x = 0; x < 10; ++x) expect_attempts(outcomes.at(static_cast<std::size_t>(x)), x);
  trace.clear();
  int x = 0;
  for (auto const& outcome : view.imap<dies_twice>(std::views::iota(0, 10))) {
    expect_attempts(outcome, x++);
  }
}

TEST(Retry, StopsAfterItsAttemptsWithAllReasons) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  auto const outcomes = pool.with({.chunk = 10, .retries = {.times = 3}})
                            .outcomes()
                            .map<dies_at_seven>(std::views::iota(0, 40));
  for (int i = 0; i < 40; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i != 7) {
      ASSERT_TRUE(outcome.has_value()) << support::text_of(outcome);
      continue;
    }
    auto const died = support::error_of<WorkerDied>(outcome);
    ASSERT_EQ(died.earlier_attempts().size(), 3u);
    EXPECT_EQ(died.attempts(), 4u);
    for (std::string const& attempt : died.earlier_attempts()) {
      EXPECT_NE(attempt.find("SIGSEGV"), std::string::npos) << attempt;
    }
    EXPECT_NE(std::string(died.what()).find("attempt 4"), std::string::npos) << died.what();
  }
  for (auto const& [element, times] : trace.counts()) EXPECT_EQ(times, element == 7 ? 4 : 1);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
}

TEST(Retry, NeverUnlessAsked) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.call<dies_at_seven>(7), WorkerDied);
  EXPECT_THROW(pool.with({.retries = {.times = 5, .on_crash = false}}).call<dies_at_seven>(7),
               WorkerDied);
  EXPECT_THROW(pool.with({.retries = {.times = 5}}).call<throws_twice>(1), std::out_of_range);
  EXPECT_EQ(trace.size(), 3u);
}

TEST(Retry, ATimeoutIsTriedAgain) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.with({.timeout = 300ms, .retries = {.times = 1}}).call<hangs_once>(3), 3);
  Retries const no_timeout{.times = 5, .on_timeout = false};
  EXPECT_THROW(pool.with({.timeout = 300ms, .retries = no_timeout}).call<hangs_once>(4),
               procpool::TaskTimeout);
}

TEST(Retry, OfChosenExceptions) {
  support::Trace const trace;
  for (auto const start : {procpool::Start::spawn, procpool::Start::in_process}) {
    int const x = start == procpool::Start::spawn ? 1 : 100;
    procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
    if (start == procpool::Start::in_process) {
      // Trace keeps its descriptor, which is this process's own here.
      EXPECT_EQ(pool.with({.retries = {.times = 1, .also_on = thrown<std::logic_error>()}})
                    .call([](int y) { return y; }, x),
                x);
      continue;
    }
    EXPECT_EQ(pool.with({.retries = {.times = 2, .also_on = thrown<std::out_of_range>()}})
                  .call<throws_twice>(x),
              x);
    EXPECT_EQ(pool.with({.retries = {.times = 2, .also_on = thrown<std::logic_error>()}})
                  .call<throws_twice>(x + 1),
              x + 1);
    EXPECT_THROW(pool.with({.retries = {.times = 2, .also_on = thrown<std::runtime_error>()}})
                     .call<throws_twice>(x + 2),
                 std::out_of_range);
    // With one attempt too few, the last error knows the error before.
    auto const error = support::thrown_by<std::exception_ptr>([&] {
      try {
        pool.with({.retries = {.times = 1, .also_on = thrown<std::out_of_range>()}})
            .call<throws_twice>(x + 3);
      } catch (std::out_of_range const&) {
        throw std::current_exception();
      }
    });
    EXPECT_NE(procpool::describe(error).find("an earlier attempt"), std::string::npos);
  }
}

TEST(Retry, WaitsLongerBeforeEachFurtherAttempt) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<dies_at_seven>(1), 1);
  Retries const with_backoff{.times = 3, .backoff = 40ms};
  support::Stopwatch const watch;
  EXPECT_THROW(pool.with({.retries = with_backoff}).call<dies_at_seven>(7), WorkerDied);
  EXPECT_GE(watch.passed(), 40ms + 80ms + 160ms);
}

TEST(Retry, WhatWaitsForItsNextAttemptCanBeCancelledAndEnded) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  Retries const with_backoff{.times = 3, .backoff = 10min};
  auto cancelled = pool.with({.retries = with_backoff}).submit<dies_at_seven>(7);
  ASSERT_TRUE(support::until([&] { return pool.stats().retries == 1; }));
  EXPECT_EQ(cancelled.cancel(), procpool::Cancel::never_began);
  EXPECT_THROW(cancelled.get(), procpool::TaskCancelled);
  auto ended = pool.with({.retries = with_backoff}).submit<dies_at_seven>(7);
  ASSERT_TRUE(support::until([&] { return pool.stats().retries == 2; }));
  pool.terminate();
  EXPECT_THROW(ended.get(), procpool::TaskCancelled);
}

TEST(Retry, ZeroTimesIsNeverWhateverThePoolSays) {
  support::Trace const trace;
  procpool::ProcessPool pool{{.workers = 1, .defaults = {.retries = {.times = 3}}}};
  EXPECT_THROW(pool.with({.retries = {.times = 0}}).call<dies_at_seven>(7), WorkerDied);
  EXPECT_EQ(trace.size(), 1u);
  EXPECT_THROW(pool.call<dies_at_seven>(7), WorkerDied);
  EXPECT_EQ(trace.size(), 5u);
}

TEST(Retry, NumbersThatMakeNoSenseAreRefused) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.retries = {.times = -1}}), std::invalid_argument);
  EXPECT_THROW(pool.with({.retries = {.times = 1'000'001}}), std::invalid_argument);
  EXPECT_THROW(pool.with({.retries = {.times = 1, .backoff = -1ms}}), std::invalid_argument);
}

TEST(Retry, ACaseWithoutANumberIsRefused) {
  procpool::ProcessPool pool{1};
  auto const error = support::thrown_by<std::invalid_argument>(
      [&] { static_cast<void>(pool.with({.retries = {.backoff = 10ms}})); });
  EXPECT_TRUE(support::says(error, "retries.times")) << error.what();
}

}  // namespace
