// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Promises, futures that are ready, and continuations for failures, for any end, and elsewhere.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Failure;
using procpool::Future;
using procpool::make_failed_future;
using procpool::make_ready_future;
using procpool::Outcome;
using procpool::ProcessPool;
using procpool::Promise;
using procpool::TaskCancelled;
using procpool::TaskTimeout;

using tasks::crash;
using tasks::fail;
using tasks::hang;
using tasks::square;

std::future_errc code_of(std::function<void()> const& call) {
  return static_cast<std::future_errc>(support::thrown_by<std::future_error>(call).code().value());
}

TEST(Promise, GivesItsFutureAValueOfAnyThread) {
  Promise<std::string> promise;
  auto future = promise.get_future();
  EXPECT_FALSE(future.ready());
  std::jthread const other([promise = std::move(promise)]() mutable { promise.set_value(3, 'x'); });
  EXPECT_EQ(future.get(), "xxx");
  Promise<void> nothing;
  auto end = nothing.get_future();
  nothing.set_value();
  EXPECT_NO_THROW(end.get());
  Promise<std::unique_ptr<int>> owner;
  owner.set_value(std::make_unique<int>(4));
  EXPECT_EQ(*owner.get_future().get(), 4);
}

TEST(Promise, GivesAnException) {
  Promise<int> promise;
  promise.set_exception(std::make_exception_ptr(std::out_of_range("there")));
  EXPECT_THROW(promise.get_future().get(), std::out_of_range);
}

TEST(Promise, IsMisusedAsAStdPromiseIs) {
  Promise<int> promise;
  auto future = promise.get_future();
  EXPECT_EQ(code_of([&] { static_cast<void>(promise.get_future()); }),
            std::future_errc::future_already_retrieved);
  promise.set_value(1);
  EXPECT_EQ(code_of([&] { promise.set_value(2); }), std::future_errc::promise_already_satisfied);
  EXPECT_EQ(code_of([&] { promise.set_exception(std::make_exception_ptr(1)); }),
            std::future_errc::promise_already_satisfied);
  Promise<int> const moved = std::move(promise);
  // NOLINTNEXTLINE(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(code_of([&] { promise.set_value(2); }), std::future_errc::no_state);
  EXPECT_EQ(future.get(), 1);
}

TEST(Promise, ThatIsDroppedIsBroken) {
  Future<int> dropped;
  Future<int> replaced;
  {
    Promise<int> promise;
    dropped = promise.get_future();
  }
  Promise<int> promise;
  replaced = promise.get_future();
  promise = Promise<int>();
  EXPECT_EQ(code_of([&] { dropped.get(); }), std::future_errc::broken_promise);
  EXPECT_EQ(code_of([&] { replaced.get(); }), std::future_errc::broken_promise);
}

struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(ThrowsWhenCopied const&) { throw std::runtime_error("no copies"); }
  ThrowsWhenCopied(ThrowsWhenCopied&&) = default;
};

TEST(Promise, IsOpenAfterAValueThatThrew) {
  Promise<ThrowsWhenCopied> promise;
  auto future = promise.get_future();
  ThrowsWhenCopied const value;
  EXPECT_THROW(promise.set_value(value), std::runtime_error);
  EXPECT_FALSE(future.ready());
  promise.set_value();
  EXPECT_NO_THROW(static_cast<void>(future.get()));
}

TEST(Promise, ComposesLikeACall) {
  ProcessPool pool{1};
  Promise<int> promise;
  auto both = procpool::when_all(promise.get_future(), pool.submit<square>(2));
  auto sum =
      std::move(both).then([](auto values) { return std::get<0>(values) + std::get<1>(values); });
  promise.set_value(10);
  EXPECT_EQ(sum.get(), 14);
}

Future<int> awaits(Future<int> future) { co_return co_await future; }

TEST(Promise, HearsThatItsValueIsNotWanted) {
  for (bool const stop : {true, false}) {
    Promise<int> promise;
    auto future = awaits(promise.get_future());
    EXPECT_FALSE(promise.stop_requested());
    stop ? static_cast<void>(future.request_stop()) : static_cast<void>(future.cancel());
    EXPECT_TRUE(promise.stop_requested());
    promise.set_value(1);
    EXPECT_THROW(future.get(), TaskCancelled);
  }
}

TEST(ReadyFuture, IsReady) {
  EXPECT_TRUE(make_ready_future(1).ready());
  EXPECT_EQ(make_ready_future(std::string("a")).get(), "a");
  EXPECT_NO_THROW(make_ready_future().get());
  EXPECT_EQ(make_ready_future(3).then([](int x) { return x + 1; }).get(), 4);
  EXPECT_THROW(make_failed_future<int>(std::out_of_range("x")).get(), std::out_of_range);
  EXPECT_THROW(make_failed_future<void>(std::make_exception_ptr(1)).get(), int);
}

// ---- waits

TEST(WaitUntil, EndsAtATimeOfAnyClock) {
  ProcessPool pool{1};
  auto future = pool.submit<tasks::after>(600'000);
  EXPECT_FALSE(future.wait_until(std::chrono::steady_clock::now() + 20ms));
  EXPECT_FALSE(future.wait_until(std::chrono::system_clock::now() + 20ms));
  EXPECT_FALSE(future.wait_until(std::chrono::system_clock::time_point()));
  EXPECT_FALSE(future.wait_until(std::chrono::steady_clock::time_point::min()));
  future.request_stop();
  EXPECT_TRUE(future.wait_until(std::chrono::system_clock::time_point::max()));
  EXPECT_TRUE(future.wait_until(std::chrono::steady_clock::time_point::max()));
  EXPECT_THROW(future.get(), TaskCancelled);
}

// ---- continuations

TEST(OrElse, IsCalledForFailuresAlone) {
  ProcessPool pool{2};
  auto const answer = [](Failure const& failure) {
    return failure.kind() == procpool::FailureKind::died ? -1 : -2;
  };
  EXPECT_EQ(pool.submit<square>(3).or_else(answer).get(), 9);
  EXPECT_EQ(pool.submit<crash>(3).or_else(answer).get(), -1);
  EXPECT_EQ(pool.submit<fail>(3).or_else(answer).get(), -2);
  // Another call in its place.
  auto const instead = [&](Failure const&) { return pool.submit<square>(4); };
  EXPECT_EQ(pool.submit<square>(3).or_else(instead).get(), 9);
  EXPECT_EQ(pool.submit<fail>(3).or_else(instead).get(), 16);
  int seen = 0;
  pool.submit<fail>(1).then([](int) {}).or_else([&](Failure const&) { ++seen; }).get();
  pool.submit<square>(1).then([](int) {}).or_else([&](Failure const&) { ++seen; }).get();
  EXPECT_EQ(seen, 1);
  EXPECT_THROW(pool.submit<fail>(3).or_else([](Failure const&) -> int { throw 5; }).get(), int);
  EXPECT_EQ(pool.map_async<fail>(std::vector{1})
                .or_else([](Failure const&) { return std::vector{7}; })
                .get(),
            std::vector{7});
}

TEST(Finally, IsCalledInAnyCaseAndPassesTheOutcomeOn) {
  ProcessPool pool{1};
  std::atomic<int> called = 0;
  EXPECT_EQ(pool.submit<square>(3).finally([&] { ++called; }).get(), 9);
  EXPECT_THROW(pool.submit<fail>(3).finally([&] { ++called; }).get(), std::out_of_range);
  auto future = pool.submit<hang>(1).finally([&] { ++called; });
  future.cancel();
  EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_EQ(called, 3);
  EXPECT_THROW(pool.submit<square>(3).finally([] { throw 5; }).get(), int);
  EXPECT_NO_THROW(make_ready_future().finally([] {}).get());
}

TEST(ThenWithExecutor, RunsThereAndSoDoContinuationsOfIt) {
  ProcessPool pool{1};
  std::atomic<int> here = 0;
  procpool::Executor const executor = [&](std::function<void()> const& work) {
    ++here;
    work();
  };
  EXPECT_EQ(pool.submit<square>(2).then(executor, [](int x) { return x + 1; }).get(), 5);
  EXPECT_EQ(here, 1);
  EXPECT_EQ(pool.submit<square>(2)
                .then(executor, [](int x) { return x + 1; })
                .then([](int x) { return x + 1; })
                .get(),
            6);
  EXPECT_EQ(here, 3);
  // Back on the callback thread.
  EXPECT_EQ(pool.with({.executor = executor})
                .submit<square>(2)
                .then(procpool::Executor(), [](int x) { return x + 1; })
                .get(),
            5);
  EXPECT_EQ(here, 3);
}

// ---- within

TEST(Within, EndsWithTheOutcomeThatCameInTime) {
  ProcessPool pool{2};
  EXPECT_EQ(pool.submit<square>(3).within(10min).get(), 9);
  EXPECT_EQ(pool.submit<square>(3).within(std::chrono::hours::max()).get(), 9);
  EXPECT_THROW(pool.submit<fail>(3).within(10min).get(), std::out_of_range);
  EXPECT_EQ(pool.submit<square>(3).then([](int x) { return x; }).within(10min).get(), 9);
  EXPECT_EQ(make_ready_future(1).within(10min).get(), 1);
  EXPECT_EQ(pool.map_async<square>(std::vector{2, 3}).within(10min).get(), (std::vector{4, 9}));
}

TEST(Within, EndsAtTheTimeAndStopsTheCall) {
  support::Trace const trace;
  ProcessPool pool{{.workers = 1, .shutdown = {.term_grace = 60s}}};
  support::Stopwatch const watch;
  auto future = pool.submit(
                        [](int x) {
                          std::signal(SIGTERM, [](int) { support::Trace::note(9); });
                          return hang(x);
                        },
                        1)
                    .within(300ms);
  auto const error = support::thrown_by<TaskTimeout>([&] { future.get(); });
  EXPECT_TRUE(support::says(error, "within 300 ms"));
  EXPECT_GE(watch.passed(), 300ms);
  EXPECT_LT(watch.passed(), 20s);
  EXPECT_TRUE(support::until([&] { return trace.counts()[9] == 1 || trace.size() == 0; }));
  pool.terminate();
}

TEST(Within, MayBeStoppedItself) {
  ProcessPool pool{1};
  auto future = pool.submit<tasks::after>(600'000).within(10min);
  future.request_stop();
  EXPECT_THROW(future.get(), TaskCancelled);
}

TEST(Within, AtAnyTimeOfACall) {
  ProcessPool pool{2};
  int late = 0;
  for (int round = 0; round < support::rounds(400, 100); ++round) {
    auto future = pool.submit(
                          [](int x) {
                            std::this_thread::sleep_for(std::chrono::microseconds(x));
                            return x;
                          },
                          100)
                      .within(std::chrono::microseconds(round % 40 * 10));
    ASSERT_TRUE(future.wait_for(support::patience));
    try {
      EXPECT_EQ(future.get(), 100);
    } catch (TaskTimeout const&) {
      ++late;
    }
  }
  EXPECT_GT(late, 0);
}

// ---- the first success, all outcomes

TEST(WhenAnyOk, GivesTheFirstValueAndStopsTheOthers) {
  support::Trace const trace;
  ProcessPool pool{4};
  std::vector<Future<int>> futures;
  futures.push_back(pool.submit<hang>(0));
  futures.push_back(pool.submit<fail>(1));
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  futures.push_back(pool.submit<square>(3));
  auto const [index, value] = procpool::when_any_ok(std::move(futures)).get();
  EXPECT_EQ(index, 2u);
  EXPECT_EQ(value, 9);
  EXPECT_TRUE(support::until([&] { return pool.stats().done == 3; }));  // the hanging one too
  EXPECT_EQ(procpool::when_any_ok(pool.submit<square>(2), pool.submit<fail>(1)).get().value, 4);
  EXPECT_EQ(procpool::when_any_ok(make_ready_future(), make_failed_future<void>(1)).get().index,
            0u);
}

TEST(WhenAnyOk, FailsIfAllFailWithAllFailures) {
  ProcessPool pool{2};
  auto const errors = support::thrown_by<procpool::ElementErrors>(
      [&] { procpool::when_any_ok(pool.submit<fail>(1), pool.submit<crash>(2)).get(); });
  ASSERT_EQ(errors.failures().size(), 2u);
  EXPECT_EQ(errors.failures()[0].element, 0u);
  EXPECT_TRUE(support::is<std::out_of_range>(errors.failures()[0].error));
  EXPECT_TRUE(support::is<procpool::WorkerDied>(errors.failures()[1].error));
  EXPECT_THROW(static_cast<void>(procpool::when_any_ok(std::vector<Future<int>>())),
               std::invalid_argument);
}

TEST(WhenAnyOk, IsCancelledWithItsParts) {
  ProcessPool pool{2};
  auto future =
      procpool::when_any_ok(pool.submit<tasks::after>(600'000), pool.submit<tasks::after>(600'000));
  EXPECT_NE(future.cancel(), procpool::Cancel::too_late);
  EXPECT_THROW(future.get(), TaskCancelled);
}

TEST(WhenAllOutcomes, HaveValuesAndFailures) {
  ProcessPool pool{2};
  auto [first, second, third] =
      procpool::when_all_outcomes(pool.submit<square>(3), pool.submit<fail>(1), make_ready_future())
          .get();
  EXPECT_EQ(first.value(), 9);
  EXPECT_TRUE(support::is<std::out_of_range>(second.error()));
  EXPECT_TRUE(third.has_value());
  std::vector<Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(i == 4 ? pool.submit<crash>(i) : pool.submit<square>(i));
  }
  auto const outcomes = procpool::when_all_outcomes(std::move(futures)).get();
  ASSERT_EQ(outcomes.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].has_value(), i != 4);
  EXPECT_TRUE(procpool::when_all_outcomes(std::vector<Future<int>>()).get().empty());
}

// ---- a callback that waits for what only its own thread could do

TEST(SelfWait, OfACallbackIsReported) {
  ProcessPool pool{2};
  auto const deadlock = [&](auto make) {
    return pool.submit<square>(1)
        .then([&](int) -> std::errc {
          Future<int> future = make();
          try {
            future.get();
          } catch (std::system_error const& error) {
            return static_cast<std::errc>(error.code().value());
          }
          return {};
        })
        .get();
  };
  auto const plus = [](int x) { return x + 1; };
  constexpr auto reported = std::errc::resource_deadlock_would_occur;
  EXPECT_EQ(deadlock([&] { return pool.submit<square>(1).then(plus); }), reported);
  EXPECT_EQ(deadlock([&] { return awaits(pool.submit<tasks::after>(50)); }), reported);
  EXPECT_EQ(deadlock([&] {
              return pool.submit<square>(1).then(
                  [](std::function<void()> const& work) { std::jthread(work).detach(); },
                  [](auto values) { return values; });
            }),
            std::errc());
  EXPECT_EQ(deadlock([&] {
              return procpool::when_all(pool.submit<square>(1), pool.submit<square>(1).then(plus))
                  .then([](std::function<void()> const& work) { std::jthread(work).detach(); },
                        [](auto values) { return std::get<0>(values); });
            }),
            reported);
  // These are no deadlocks.
  EXPECT_EQ(deadlock([&] { return pool.submit<square>(1); }), std::errc());
  EXPECT_EQ(deadlock([&] { return make_ready_future(1); }), std::errc());
  EXPECT_EQ(deadlock([&] {
              auto future =
                  procpool::when_any(pool.submit<square>(1), pool.submit<square>(1).then(plus));
              EXPECT_NO_THROW(future.wait());
              return make_ready_future(1);
            }),
            std::errc());
  EXPECT_EQ(deadlock([&] {
              auto future = pool.submit<square>(1).then(plus).within(30ms);
              EXPECT_THROW(future.get(), TaskTimeout);
              return make_ready_future(1);
            }),
            std::errc());
}

// The error of what a callback of the pool does. Nothing: none.
template <class Do>
std::errc error_in_a_callback(ProcessPool& pool, Do const& act) {
  return pool.submit<square>(1)
      .then([&](int) -> std::errc {
        try {
          act();
        } catch (std::system_error const& error) {
          return static_cast<std::errc>(error.code().value());
        }
        return {};
      })
      .get();
}

TEST(SelfWait, InAsCompletedIsReported) {
  ProcessPool pool{2};
  auto const plus = [](int x) { return x + 1; };
  auto const needs_this = [&] { return pool.submit<square>(1).then(plus); };
  constexpr auto reported = std::errc::resource_deadlock_would_occur;
  EXPECT_EQ(error_in_a_callback(pool,
                                [&] {
                                  std::vector<Future<int>> futures;
                                  futures.push_back(needs_this());
                                  futures.push_back(awaits(pool.submit<square>(2)));
                                  procpool::as_completed(futures).begin();
                                }),
            reported);
  // Those that end by themselves come first.
  int seen = 0;
  EXPECT_EQ(error_in_a_callback(pool,
                                [&] {
                                  std::vector<Future<int>> futures;
                                  futures.push_back(needs_this());
                                  futures.push_back(pool.submit<tasks::after>(20));
                                  futures.push_back(make_ready_future(1));
                                  for (auto& future : procpool::as_completed(futures)) {
                                    future.get();
                                    ++seen;
                                  }
                                }),
            reported);
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(error_in_a_callback(pool,
                                [&] {
                                  std::vector<Future<int>> futures;
                                  for (int i = 0; i < 5; ++i) {
                                    futures.push_back(pool.submit<square>(i));
                                  }
                                  for (auto& future : procpool::as_completed(futures)) future.get();
                                }),
            std::errc());
  // A stream is fed by the thread that reads it.
  EXPECT_EQ(error_in_a_callback(
                pool,
                [&] {
                  auto const progress = [](procpool::Progress const&) {};
                  int sum = 0;
                  for (int x :
                       pool.with({.progress = progress}).imap<square>(std::views::iota(0, 1'000))) {
                    sum += x % 2;
                  }
                  EXPECT_EQ(sum, 500);
                }),
            std::errc());
}

// It runs its work on the thread that hands out all work of executors.
TEST(SelfWait, OfAnExecutorThatRunsItsWorkAtOnceIsReported) {
  ProcessPool pool{2};
  auto const at_once = [](std::function<void()> const& work) { work(); };
  auto const plus = [](int x) { return x + 1; };
  constexpr auto reported = std::errc::resource_deadlock_would_occur;
  auto view = pool.with({.executor = at_once});
  auto const in_executor = [&](auto act) {
    return view.submit<square>(1)
        .then([&](int) {
          try {
            act();
          } catch (std::system_error const& error) {
            return static_cast<std::errc>(error.code().value());
          }
          return std::errc();
        })
        .get();
  };
  EXPECT_EQ(in_executor([&] { view.submit<square>(1).then(plus).get(); }), reported);
  EXPECT_EQ(in_executor([&] {
              std::vector<Future<int>> futures;
              futures.push_back(view.submit<square>(1).then(plus));
              procpool::as_completed(futures).begin();
            }),
            reported);
  EXPECT_EQ(in_executor([&] { pool.submit<square>(1).then(plus).get(); }), std::errc())
      << "the callback thread is another one";
  EXPECT_EQ(in_executor([&] { view.submit<square>(1).get(); }), std::errc());
}

// ---- co_await of streams

Future<long> sum_of(ProcessPool& pool, int count) {
  auto stream = pool.imap<square>(std::views::iota(0, count));
  long sum = 0;
  while (auto const value = co_await stream.next()) sum += *value;
  co_return sum;
}

TEST(AwaitStream, TakesAllResults) {
  ProcessPool pool{2};
  EXPECT_EQ(sum_of(pool, 0).get(), 0);
  EXPECT_EQ(sum_of(pool, 4).get(), 14);
  EXPECT_EQ(sum_of(pool, 3'000).get(), 8'995'500'500);
}

// Neither the thread that begins them nor the callback thread is blocked.
TEST(AwaitStream, BlocksNoThread) {
  ProcessPool pool{2};
  auto const slow = [](ProcessPool& own) -> Future<int> {
    auto stream = own.imap_unordered<tasks::after>(std::vector(4, 100));
    int count = 0;
    while (co_await stream.next()) ++count;
    co_return count;
  };
  support::Stopwatch const watch;
  auto first = slow(pool);
  auto second = slow(pool);
  auto third = make_ready_future(1);
  EXPECT_FALSE(first.ready());
  std::promise<void> ran;
  auto calls = pool.submit<square>(1);
  calls.on_ready([&] { ran.set_value(); });
  EXPECT_EQ(ran.get_future().wait_for(support::patience), std::future_status::ready);
  EXPECT_EQ(first.get() + second.get(), 8);
}

Future<std::pair<int, int>> survives_failures(ProcessPool& pool) {
  auto stream = pool.imap(
      [](int x) {
        if (x % 3 == 0) throw std::out_of_range("no");
        return x;
      },
      std::views::iota(0, 30));
  std::pair<int, int> counts{};
  for (;;) {
    try {
      if (!co_await stream.next()) co_return counts;
      ++counts.first;
    } catch (std::out_of_range const&) {
      ++counts.second;
    }
  }
}

TEST(AwaitStream, GoesOnAfterAFailure) {
  ProcessPool pool{2};
  EXPECT_EQ(survives_failures(pool).get(), std::pair(20, 10));
}

TEST(AwaitStream, IsCancelledWithItsCoroutine) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto const waits = [](ProcessPool& own) -> Future<int> {
    auto stream = own.imap<hang>(std::vector{1, 2});
    auto const first = co_await stream.next();
    co_return *first;
  };
  auto future = waits(pool);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  future.request_stop();
  EXPECT_THROW(future.get(), TaskCancelled);
}

Future<std::vector<int>> in_order_of_ends(std::vector<Future<int>>& futures) {
  auto completed = procpool::as_completed(futures);
  std::vector<int> values;
  while (Future<int>* const next = co_await completed.next()) values.push_back(next->get());
  co_return values;
}

TEST(AwaitCompleted, GivesFuturesAsTheyEnd) {
  ProcessPool pool{3};
  std::vector<Future<int>> futures;
  futures.push_back(pool.submit<tasks::after>(600));
  futures.push_back(pool.submit<tasks::after>(1));
  futures.push_back(pool.submit<tasks::after>(300));
  EXPECT_EQ(in_order_of_ends(futures).get(), (std::vector{1, 300, 600}));
  std::vector<Future<int>> none;
  EXPECT_TRUE(in_order_of_ends(none).get().empty());
}

}  // namespace
