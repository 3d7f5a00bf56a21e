// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A thousand elements of which twenty die, each in its own way: 980 right results in order, and
// twenty exact reasons.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/trace.hpp"

namespace {

constexpr int elements = 1'000;
constexpr int distance = 50;

int overflow_the_stack(volatile int* above) {
  int volatile here[256];
  here[0] = above == nullptr ? 0 : *above + 1;
  if (here[0] < 0) return 0;  // never: for the compiler
  return overflow_the_stack(here) + here[0];
}

// The real thing also where a sanitizer would rather report it.
__attribute__((no_sanitize("undefined"))) void store_to_null(int x) {
  int volatile* volatile nowhere = nullptr;
  *nowhere = x;
}

bool dies_at(int x) { return x % distance == 17; }

int work(int x) {
  support::Trace::note(x);
  if (!dies_at(x)) return 2 * x;
  switch (x / distance % 8) {
    case 0: store_to_null(x); break;
    case 1: std::abort();
    case 2: std::raise(SIGKILL); break;
    case 3: std::exit(3);
    case 4: ::_exit(0);
    case 5: std::quick_exit(5);
    case 6: ::pthread_exit(nullptr);
    case 7: return overflow_the_stack(nullptr);
    default: break;
  }
  return -1;
}

struct Wanted {
  std::optional<int> signal;
  std::optional<int> status;
  std::string text;
};

Wanted wanted(int x) {
  switch (x / distance % 8) {
    case 0: return {SIGSEGV, {}, "SIGSEGV"};
    case 1: return {SIGABRT, {}, "SIGABRT"};
    case 2: return {SIGKILL, {}, "SIGKILL"};
    case 3: return {{}, 3, "3"};
    case 4: return {{}, 0, "0"};
    case 5: return {{}, 5, "5"};
    case 6: return {{}, EXIT_FAILURE, "pthread_exit"};
    default: return {SIGSEGV, {}, "SIGSEGV"};
  }
}

void expect_reasons(std::vector<procpool::Outcome<int>> const& outcomes) {
  ASSERT_EQ(outcomes.size(), static_cast<std::size_t>(elements));
  int right = 0;
  int dead = 0;
  for (int x = 0; x < elements; ++x) {
    auto const& outcome = outcomes[static_cast<std::size_t>(x)];
    if (!dies_at(x)) {
      ASSERT_TRUE(outcome.has_value()) << x << ": " << support::text_of(outcome);
      ASSERT_EQ(outcome.value(), 2 * x);
      ++right;
      continue;
    }
    auto const died = support::error_of<procpool::WorkerDied>(outcome);
    SCOPED_TRACE(died.what());
    Wanted const want = wanted(x);
    EXPECT_EQ(died.signal(), want.signal);
    EXPECT_EQ(died.exit_status(), want.status);
    EXPECT_TRUE(support::says(died, want.text));
    EXPECT_EQ(died.element(), static_cast<std::uint64_t>(x));
    EXPECT_GT(died.task(), 0u);
    EXPECT_GT(died.pid(), 1);
    EXPECT_FALSE(support::alive(died.pid()));
    EXPECT_GE(died.worker(), 0);
    ++dead;
  }
  EXPECT_EQ(right, 980);
  EXPECT_EQ(dead, 20);
}

}  // namespace

TEST(Reasons, OfTwentyDeathsAmongAThousandElements) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  expect_reasons(pool.outcomes().map<work>(std::views::iota(0, elements)));
  EXPECT_EQ(pool.stats().worker_deaths, 20u);
  auto const counts = trace.counts();
  EXPECT_EQ(counts.size(), static_cast<std::size_t>(elements));
  for (auto const& [x, count] : counts) EXPECT_EQ(count, 1) << "element " << x;
}

TEST(Reasons, InChunksSetByHand) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  expect_reasons(pool.with({.chunk = 100}).outcomes().map<work>(std::views::iota(0, elements)));
  EXPECT_EQ(pool.stats().worker_deaths, 20u);
}

TEST(Reasons, OneByOne) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  for (int kind = 0; kind < 8; ++kind) {
    auto future = pool.submit<work>(17 + kind * distance);
    auto const died = support::thrown_by<procpool::WorkerDied>([&] { future.get(); });
    EXPECT_TRUE(support::says(died, wanted(17 + kind * distance).text));
    EXPECT_EQ(pool.call<work>(1), 2);
  }
}
