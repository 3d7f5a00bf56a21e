// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cancel() of what is composed, while code of the program's own runs or is about to: it says what
// will be.

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <latch>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Cancel;
using procpool::Future;
using procpool::Outcome;
using procpool::ProcessPool;
using procpool::TaskCancelled;
using procpool::when_all;
using procpool::when_any;

using tasks::increment;
int wait_for(std::string const& gate) {
  support::Trace::note(1);
  support::wait_at(gate);
  return 1;
}
int outlives_sigterm(int x) {
  support::Trace::note(x);
  std::signal(SIGTERM, [](int) { support::Trace::note(3); });
  support::Trace::note(x);
  std::this_thread::sleep_for(60s);
  return x;
}
int after_microseconds(int microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return microseconds;
}
int run_long(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(60s);
  return x;
}

// Code that tells that it runs, and goes on when it may.
struct Code {
  std::latch runs{1};
  std::latch goes_on{1};
  void operator()() {
    runs.count_down();
    goes_on.wait();
  }
};

TEST(CancelCode, ThoseBehindAreNotCalledAndNothingIsBegun) {
  support::Trace trace;
  ProcessPool pool{1};
  Code code;
  std::atomic<int> called = 0;
  auto future = pool.submit<increment>(1)
                    .then([&](int x) {
                      code();
                      return x;
                    })
                    .then([&](int x) {
                      ++called;
                      return x;
                    })
                    .then([&](int) {
                      ++called;
                      return pool.submit<run_long>(1);
                    });
  code.runs.wait();
  EXPECT_EQ(future.cancel(), Cancel::ended);
  code.goes_on.count_down();
  EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_EQ(called, 0);
  EXPECT_EQ(pool.call<increment>(1), 2);
  EXPECT_EQ(trace.size(), 0u);
}

Future<int> computes(ProcessPool& pool, Code& code) {
  int const value = co_await pool.submit<increment>(1);
  code();
  co_return value;
}

TEST(CancelCode, TheValueThatItMakesIsDropped) {
  ProcessPool pool{1};
  auto const continuation = [&](Code& code) {
    return pool.submit<increment>(1).then([&code](int x) {
      code();
      return x;
    });
  };
  std::vector<std::function<Future<int>(Code&)>> const kinds{
      continuation, [&](Code& code) { return computes(pool, code); },
      [&](Code& code) {
        return pool.submit<increment>(1).then([&code](Outcome<int> x) {
          code();
          return x.value();
        });
      },
      // A future that is to become another one, which has ended by then.
      [&](Code& code) {
        return pool.submit<increment>(1).then([&](int x) {
          auto next = pool.submit<increment>(x);
          next.wait();
          code();
          return next;
        });
      },
      [&](Code& code) {
        return pool.submit<increment>(1).then([&](int x) {
          auto next = pool.submit<increment>(x).then([](int y) { return y; });
          code();
          return next;
        });
      },
      [&](Code& code) {
        return when_all(continuation(code), pool.submit<increment>(1)).then([](auto both) {
          return std::get<0>(both);
        });
      }};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    Code code;
    auto future = kinds[i](code);
    code.runs.wait();
    EXPECT_EQ(future.cancel(), Cancel::ended) << i;
    EXPECT_EQ(future.cancel(), Cancel::ended) << i;  // again
    EXPECT_FALSE(future.ready()) << i;
    code.goes_on.count_down();
    EXPECT_THROW(static_cast<void>(future.get()), TaskCancelled) << i;
  }
}

TEST(CancelCode, TheErrorThatItThrowsStands) {
  ProcessPool pool{1};
  Code code;
  auto future = pool.submit<increment>(1).then([&](int) -> int {
    code();
    throw std::out_of_range("of its own");
  });
  code.runs.wait();
  EXPECT_EQ(future.cancel(), Cancel::ended);
  code.goes_on.count_down();
  EXPECT_THROW(future.get(), std::out_of_range);
}

// Awaits something that has ended first: that is no wait.
Future<int> goes_on(ProcessPool& pool, Code& code, Future<int> ended, std::atomic<int>& told) {
  co_await pool.submit<increment>(1);
  code();
  int const value = co_await ended;
  try {
    co_await pool.submit<run_long>(1);
  } catch (TaskCancelled const&) {
    ++told;
  }
  co_return value;
}

TEST(CancelCode, WhatItWaitsForNextIsEndedAndThenItMayGoOn) {
  support::Trace const trace;  // what is waited for may begin before it is ended
  ProcessPool pool{1};
  Code code;
  std::atomic<int> told = 0;
  auto ended = pool.submit<increment>(5);
  ended.wait();
  auto future = goes_on(pool, code, std::move(ended), told);
  code.runs.wait();
  EXPECT_EQ(future.cancel(), Cancel::ended);
  code.goes_on.count_down();
  EXPECT_EQ(future.get(), 6);  // it has heard of it, and made something of it
  EXPECT_EQ(told, 1);
}

TEST(CancelCode, WhoHandlesItMayWaitForOthersWhichAnotherCancelEnds) {
  support::Trace trace;
  ProcessPool pool{1};
  auto const begun = [&](std::size_t calls) {
    return support::until([&] { return trace.size() >= calls; });
  };
  auto continuation =
      pool.submit<run_long>(1).then([&](Outcome<int>) { return pool.submit<run_long>(2); });
  ASSERT_TRUE(begun(1));
  EXPECT_EQ(continuation.cancel(), Cancel::ended);
  ASSERT_TRUE(begun(2));
  EXPECT_EQ(continuation.cancel(), Cancel::ended);
  EXPECT_THROW(continuation.get(), TaskCancelled);

  auto const catches = [](ProcessPool& own) -> Future<int> {
    int told = 0;
    for (int i = 0; i < 2; ++i) {
      try {
        co_await own.submit<run_long>(3);
      } catch (TaskCancelled const&) {
        ++told;
      }
    }
    co_return told;
  };
  auto coroutine = catches(pool);
  ASSERT_TRUE(begun(3));
  EXPECT_EQ(coroutine.cancel(), Cancel::ended);
  ASSERT_TRUE(begun(4));
  EXPECT_EQ(coroutine.cancel(), Cancel::ended);
  EXPECT_EQ(coroutine.get(), 2);
}

TEST(CancelCode, OfWhatWasDroppedIsNotTold) {
  std::mutex mutex;
  std::vector<std::string> lines;
  procpool::PoolOptions options;
  options.workers = 1;
  options.log = [&](std::string_view line) {
    std::lock_guard const lock(mutex);
    lines.emplace_back(line);
  };
  {
    Code code;
    ProcessPool pool{options};
    {
      auto future = computes(pool, code);
      code.runs.wait();
      EXPECT_EQ(future.cancel(), Cancel::ended);
    }
    code.goes_on.count_down();
  }
  EXPECT_EQ(lines.size(), 0u) << lines.front();
}

// The answer is right at any moment: ended and never_began mean that there is no value, too_late
// that there is.
Future<int> loop(ProcessPool& pool, int left) {
  return pool.submit<increment>(left).then(
      [&pool, left](int) { return left == 0 ? pool.submit<increment>(0) : loop(pool, left - 1); });
}
Future<int> hands_on(ProcessPool& pool, int left) {
  co_await pool.submit<increment>(left);
  if (left != 0) co_return hands_on(pool, left - 1);
  co_return 1;
}
Future<int> awaits_in_chain(ProcessPool& pool, int left) {
  co_await pool.submit<increment>(left);
  if (left != 0) co_return co_await awaits_in_chain(pool, left - 1);
  co_return 1;
}

// The parts are ended one after another, which takes a while. A part that ends by itself meanwhile
// would be the first.
TEST(CancelCode, OfTheFirstOfSeveralStandsWhicheverEndsMeanwhile) {
  support::Trace trace;
  ProcessPool pool{{.workers = 2, .shutdown = {.term_grace = 500ms}}};
  for (bool const continued : {false, true}) {
    std::size_t const before = trace.size();
    support::Gate const gate;
    auto any = when_any(pool.submit<wait_for>(gate.path()), pool.submit<outlives_sigterm>(2));
    ASSERT_TRUE(support::until([&] { return trace.size() == before + 3; }));
    // The one that ends by itself does so when the other has had its SIGTERM.
    std::jthread const opens([&] {
      EXPECT_TRUE(support::until([&] { return trace.size() == before + 4; }));
      gate.open();
    });
    std::atomic<bool> called{false};
    if (continued) {
      auto future = std::move(any).then([&called](auto) { called = true; });
      EXPECT_EQ(future.cancel(), Cancel::ended);
      EXPECT_THROW(future.get(), TaskCancelled);
    } else {
      EXPECT_EQ(any.cancel(), Cancel::ended);
      EXPECT_THROW(static_cast<void>(any.get()), TaskCancelled);
    }
    EXPECT_FALSE(called);
  }
}

TEST(CancelCode, TellsTheTruthAtAnyMoment) {
  ProcessPool pool{2};
  std::vector<std::function<Future<int>()>> const kinds{
      [&] { return loop(pool, 5); },
      [&] { return hands_on(pool, 5); },
      [&] { return awaits_in_chain(pool, 5); },
      [&] {
        return when_all(loop(pool, 3), awaits_in_chain(pool, 3)).then([](auto both) {
          return std::get<0>(both);
        });
      },
      [&] {
        auto future = pool.submit<increment>(1);
        for (int i = 0; i < 6; ++i) future = std::move(future).then([](int x) { return x; });
        return future;
      },
      [&] {
        return when_any(pool.submit<after_microseconds>(300),
                        pool.submit<after_microseconds>(100'000))
            .then([](auto any) { return std::get<0>(any.futures).get(); });
      }};
  std::mt19937 random(5);
  int answers[3] = {};
  auto const& ended = answers[static_cast<int>(Cancel::ended)];
  support::Stopwatch const watch;
  // On a busy machine it takes many rounds to meet one that runs.
  for (int round = 0; round < support::rounds(3'000, 300) ||
                      (ended == 0 && watch.passed() < std::chrono::seconds(30));
       ++round) {
    auto future = kinds[static_cast<std::size_t>(round) % kinds.size()]();
    auto const until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 400);
    while (std::chrono::steady_clock::now() < until) {
    }
    Cancel const said = future.cancel();
    ++answers[static_cast<int>(said)];
    bool value = true;
    try {
      static_cast<void>(future.get());
    } catch (TaskCancelled const&) {
      value = false;
    }
    ASSERT_EQ(value, said == Cancel::too_late)
        << "kind " << static_cast<std::size_t>(round) % kinds.size() << ", answer "
        << static_cast<int>(said);
  }
  EXPECT_GT(ended, 0);
}

}  // namespace
