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
    auto const results =
        pool.with({.chunk = chunk, .retries = 5}).map<dies_twice>(std::views::iota(0, 40));
    for (int i = 0; i < 40; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i);
    for (auto const& [element, times] : trace.counts()) EXPECT_EQ(times, element == 7 ? 3 : 1);
  }
}

TEST(Retry, StopsAfterItsAttemptsWithAllReasons) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  auto const outcomes =
      pool.with({.chunk = 10, .retries = 3}).try_map<dies_at_seven>(std::views::iota(0, 40));
  for (int i = 0; i < 40; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i != 7) {
      ASSERT_TRUE(outcome.ok()) << support::text_of(outcome);
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
  Retries no_crash(5);
  no_crash.on_crash = false;
  EXPECT_THROW(pool.with({.retries = no_crash}).call<dies_at_seven>(7), WorkerDied);
  EXPECT_THROW(pool.with({.retries = 5}).call<throws_twice>(1), std::out_of_range);
  EXPECT_EQ(trace.size(), 3u);
}

TEST(Retry, ATimeoutIsTriedAgain) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.with({.timeout = 300ms, .retries = 1}).call<hangs_once>(3), 3);
  Retries no_timeout(5);
  no_timeout.on_timeout = false;
  EXPECT_THROW(pool.with({.timeout = 300ms, .retries = no_timeout}).call<hangs_once>(4),
               procpool::TaskTimeout);
}

TEST(Retry, OfChosenExceptions) {
  support::Trace const trace;
  for (auto const start : {procpool::Start::spawn, procpool::Start::in_process}) {
    int const x = start == procpool::Start::spawn ? 1 : 100;
    procpool::ProcessPool pool{{.workers = 1, .start = start}};
    if (start == procpool::Start::in_process) {
      // Trace keeps its descriptor, which is this process's own here.
      EXPECT_EQ(pool.with({.retries = Retries(1).on<std::logic_error>()})
                    .call([](int y) { return y; }, x),
                x);
      continue;
    }
    EXPECT_EQ(pool.with({.retries = Retries(2).on<std::out_of_range>()}).call<throws_twice>(x), x);
    EXPECT_EQ(pool.with({.retries = Retries(2).on<std::logic_error>()}).call<throws_twice>(x + 1),
              x + 1);
    EXPECT_THROW(
        pool.with({.retries = Retries(2).on<std::runtime_error>()}).call<throws_twice>(x + 2),
        std::out_of_range);
    // With one attempt too few, the last error knows the error before.
    auto const error = support::thrown_by<std::exception_ptr>([&] {
      try {
        pool.with({.retries = Retries(1).on<std::out_of_range>()}).call<throws_twice>(x + 3);
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
  Retries with_backoff(3);
  with_backoff.backoff = 40ms;
  support::Stopwatch const watch;
  EXPECT_THROW(pool.with({.retries = with_backoff}).call<dies_at_seven>(7), WorkerDied);
  EXPECT_GE(watch.passed(), 40ms + 80ms + 160ms);
}

TEST(Retry, WhatWaitsForItsNextAttemptCanBeCancelledAndEnded) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  Retries with_backoff(3);
  with_backoff.backoff = std::chrono::minutes(10);
  auto cancelled = pool.with({.retries = with_backoff}).submit<dies_at_seven>(7);
  ASSERT_TRUE(support::until([&] { return pool.stats().retries == 1; }));
  EXPECT_EQ(cancelled.cancel(), procpool::Cancel::never_began);
  EXPECT_THROW(cancelled.get(), procpool::TaskCancelled);
  auto ended = pool.with({.retries = with_backoff}).submit<dies_at_seven>(7);
  ASSERT_TRUE(support::until([&] { return pool.stats().retries == 2; }));
  pool.terminate();
  EXPECT_THROW(ended.get(), procpool::TaskCancelled);
}

TEST(Retry, NumbersThatMakeNoSenseAreRefused) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.with({.retries = 0}).call<dies_at_seven>(1), std::invalid_argument);
  EXPECT_THROW(pool.with({.retries = -1}).call<dies_at_seven>(1), std::invalid_argument);
}

}  // namespace
