// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Stop requests: by the token of a call, by a future, and by its source. They never block.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <optional>
#include <procpool.hpp>
#include <ranges>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::Outcome;
using procpool::ProcessPool;
using procpool::TaskCancelled;

using tasks::hang;
using tasks::noted;
using tasks::noted_after;
using tasks::square;
int hang_deaf_to_term(int x) {
  std::signal(SIGTERM, SIG_IGN);
  return hang(x);
}
int stops_when_asked(int x) {
  support::Trace::note(x);
  while (!procpool::this_task::stop_requested()) std::this_thread::sleep_for(1ms);
  return x + 1;
}
int after_few_microseconds(int microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return microseconds;
}

struct Idle {
  int wait(int x) { return hang(x); }
};

TEST(StopToken, EndsWhatRunsAndWhatWaitsAndNothingElse) {
  support::Trace const trace;
  ProcessPool pool{1};
  std::stop_source source;
  auto stoppable = pool.with({.stop = source.get_token()});
  auto running = stoppable.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::vector<Future<int>> waiting;
  for (int i = 2; i < 100; ++i) waiting.push_back(stoppable.submit<noted>(i));
  auto other = pool.submit<noted>(100);
  source.request_stop();
  EXPECT_THROW(running.get(), TaskCancelled);
  for (auto& future : waiting) EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_EQ(other.get(), 100);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 100}));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);  // it was asked for
}

// The first is in the worker's inbox, the others are in the queue.
TEST(StopToken, EndsWhatWaitsBehindOthersAtOnce) {
  support::Trace const trace;
  ProcessPool pool{1};
  std::stop_source source;
  auto busy = pool.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto stoppable = pool.with({.stop = source.get_token()});
  std::vector<Future<int>> waiting;
  for (int i = 2; i < 20; ++i) waiting.push_back(stoppable.submit<noted>(i));
  source.request_stop();
  EXPECT_TRUE(waiting.front().wait_for(support::patience));
  EXPECT_TRUE(waiting.back().wait_for(support::patience));
  EXPECT_FALSE(busy.ready());
  busy.cancel();
  for (auto& future : waiting) EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_EQ(trace.size(), 1u);
}

TEST(StopToken, EndsWhatWaitsForAFurtherAttempt) {
  ProcessPool pool{1};
  std::stop_source source;
  procpool::Retries const retries{.times = 1, .backoff = 10min};
  auto again = pool.with({.retries = retries, .stop = source.get_token()}).submit<tasks::crash>(1);
  ASSERT_TRUE(support::until([&] { return pool.stats().retries == 1; }));
  EXPECT_FALSE(again.wait_for(200ms));  // by then the pool sleeps
  source.request_stop();
  EXPECT_TRUE(again.wait_for(support::patience));
  if (!again.ready()) pool.terminate();
  EXPECT_THROW(again.get(), TaskCancelled);
}

// cancel() takes longer than the grace here.
TEST(StopToken, DoesNotBlockWhoRequests) {
  support::Trace const trace;
  ProcessPool pool{{.workers = 1, .shutdown = {.term_grace = 4s}}};
  std::stop_source source;
  auto future = pool.with({.stop = source.get_token()}).submit<hang_deaf_to_term>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  support::Stopwatch const watch;
  source.request_stop();
  EXPECT_FALSE(future.ready());
  EXPECT_LT(watch.passed(), 3s);
  EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_GE(watch.passed(), 3s);
}

TEST(StopToken, ATaskThatListensIsAskedFirst) {
  support::Trace const trace;
  ProcessPool pool{{.workers = 1, .shutdown = {.ask_grace = 60s}}};
  std::stop_source source;
  auto future = pool.with({.stop = source.get_token()}).submit<stops_when_asked>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  source.request_stop();
  EXPECT_EQ(future.get(), 2);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}

TEST(StopToken, ThatIsStoppedAlreadyLetsNothingRun) {
  support::Trace const trace;
  for (auto const start : {procpool::Start::spawn, procpool::Start::in_process}) {
    ProcessPool pool{{.workers = 2, .start = {.method = start}}};
    std::stop_source source;
    source.request_stop();
    auto stopped = pool.with({.stop = source.get_token()});
    EXPECT_THROW(stopped.submit<noted>(1).get(), TaskCancelled);
    EXPECT_THROW(stopped.call<noted>(1), TaskCancelled);
    EXPECT_THROW(stopped.map<noted>(std::views::iota(0, 1'000)), TaskCancelled);
    auto const outcomes = stopped.outcomes().map<noted>(std::views::iota(0, 1'000));
    ASSERT_EQ(outcomes.size(), 1'000u);
    for (auto const& outcome : outcomes) support::error_of<TaskCancelled>(outcome);
    auto stream = stopped.imap<noted>(std::views::iota(0));  // of endless inputs
    EXPECT_THROW(static_cast<void>(stream.begin()), TaskCancelled);
    EXPECT_EQ(pool.stats().worker_starts, 0u);
  }
  EXPECT_EQ(trace.size(), 0u);
}

TEST(StopToken, StopsAMapInTheMiddle) {
  support::Trace const trace;
  ProcessPool pool{2};
  std::stop_source source;
  auto results = pool.with({.chunk = 1, .stop = source.get_token()})
                     .map_async<noted_after>(std::vector(500, 5));
  ASSERT_TRUE(support::until([&] { return results.done() >= 3; }));
  source.request_stop();
  EXPECT_THROW(results.get(), TaskCancelled);
  EXPECT_LT(trace.size(), 500u);
}

// Each input has an outcome, also those that are read after the request.
TEST(StopToken, OfAMapWhoseInputsAreBeingRead) {
  support::Trace const trace;
  ProcessPool pool{2};
  std::stop_source source;
  auto const inputs = std::views::iota(0, 1'000) | std::views::transform([&](int i) {
                        if (i == 500) source.request_stop();
                        return i;
                      });
  auto const outcomes = pool.with({.stop = source.get_token()}).outcomes().map<noted>(inputs);
  ASSERT_EQ(outcomes.size(), 1'000u);
  for (std::size_t i = 500; i < 1'000; ++i) support::error_of<TaskCancelled>(outcomes[i]);
}

TEST(StopToken, WakesWhoWaitsForRoomInTheQueue) {
  support::Trace const trace;
  ProcessPool pool{{.workers = 1, .queue_limit = 1}};
  std::stop_source source;
  auto stoppable = pool.with({.stop = source.get_token()});
  auto running = pool.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto waiting = pool.submit<noted>(2);
  auto blocked = std::async(std::launch::async, [&] { return stoppable.submit<noted>(3).get(); });
  EXPECT_EQ(blocked.wait_for(50ms), std::future_status::timeout);
  source.request_stop();
  EXPECT_EQ(blocked.wait_for(support::patience), std::future_status::ready);
  running.cancel();
  EXPECT_THROW(blocked.get(), TaskCancelled);
  EXPECT_EQ(waiting.get(), 2);
}

TEST(StopToken, OfStreams) {
  ProcessPool pool{2};
  for (bool const by_token : {true, false}) {
    std::stop_source source;
    auto stream = pool.with({.stop = source.get_token()}).imap<square>(std::views::iota(0));
    int taken = 0;
    int cancelled = 0;
    bool ended = false;
    auto at = stream.begin();
    while (!ended) {
      try {
        int const value = *at;
        EXPECT_TRUE(cancelled != 0 || value == taken * taken);
        ++taken;
      } catch (TaskCancelled const&) {
        ++cancelled;
      }
      if (taken == 100 && cancelled == 0) {
        by_token ? source.request_stop() : stream.request_stop();
      }
      try {
        ++at;
      } catch (TaskCancelled const&) {
        ended = true;  // its inputs were not read to their end
      }
      ASSERT_LT(taken + cancelled, 100'000);
    }
    EXPECT_TRUE(at == stream.end());
    EXPECT_GE(taken, 100);
  }
}

TEST(StopToken, AnotherThreadStopsAStreamThatWaits) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto stream = pool.imap<hang>(std::vector{1});
  std::jthread const other([&, source = stream.get_stop_source()]() mutable {
    EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
    source.request_stop();
  });
  auto const at = stream.begin();
  EXPECT_THROW(static_cast<void>(*at), TaskCancelled);
}

TEST(StopToken, ReachesCallsOfAnActor) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto idle = pool.actor<Idle>(procpool::ActorOptions{.restarts = 1});
  std::stop_source source;
  auto stoppable = idle.with({.stop = source.get_token()});
  auto running = stoppable.call<&Idle::wait>(1);
  auto waiting = stoppable.call<&Idle::wait>(2);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  source.request_stop();
  EXPECT_THROW(running.get(), TaskCancelled);
  EXPECT_THROW(waiting.get(), TaskCancelled);
  EXPECT_EQ(trace.size(), 1u);
}

// The registration goes with the end of its call.
TEST(StopToken, LivesOnWithoutGrowth) {
  ProcessPool pool{{.workers = 1, .start = {.method = procpool::Start::in_process}}};
  std::stop_source source;
  auto stoppable = pool.with({.stop = source.get_token()});
  auto const calls = [&](int number) {
    for (int i = 0; i < number; ++i) ASSERT_EQ(stoppable.call<square>(3), 9);
  };
  calls(1'000);
  auto const before = ::mallinfo2().uordblks;
  calls(support::sanitized ? 50'000 : 1'000'000);
  EXPECT_LT(::mallinfo2().uordblks, before + 1'000'000);
  // Results that are kept have ended too.
  std::vector<Future<int>> kept;
  for (int i = 0; i < 1'000; ++i) kept.push_back(stoppable.submit<square>(3));
  source.request_stop();
  for (auto& future : kept) EXPECT_EQ(future.get(), 9);
}

// Requests come while calls are made, run and end, from several threads.
TEST(StopToken, MayBeUsedByAllThreadsAtOnce) {
  ProcessPool pool{2};
  for (int round = 0; round < support::rounds(300, 60); ++round) {
    std::stop_source sources[2];
    std::atomic<bool> go{false};
    std::vector<std::jthread> threads;
    for (auto& source : sources) {
      threads.emplace_back([&] {
        while (!go.load()) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::microseconds(round % 7 * 30));
        source.request_stop();
      });
    }
    std::vector<Future<int>> futures;
    go.store(true);
    for (int i = 0; i < 40; ++i) {
      futures.push_back(pool.with({.stop = sources[i % 2].get_token()})
                            .submit<after_few_microseconds>(i % 5 * 10));
    }
    for (auto& future : futures) {
      try {
        EXPECT_EQ(future.get() % 10, 0);
      } catch (TaskCancelled const&) {
      }
    }
  }
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST(StopToken, MayBeRequestedByCallbacksAndByTasksInTheProgram) {
  support::Trace const trace;
  std::stop_source source;
  ProcessPool pool{2};
  auto first = pool.submit<square>(1);
  auto stoppable = pool.with({.stop = source.get_token()});
  auto running = stoppable.submit<hang>(1);
  first.on_ready([&] { source.request_stop(); });
  EXPECT_THROW(running.get(), TaskCancelled);

  static std::stop_source inside;
  ProcessPool here{{.workers = 1, .start = {.method = procpool::Start::in_process}}};
  auto const outcomes = here.with({.stop = inside.get_token()})
                            .outcomes()
                            .map(
                                [](int x) {
                                  if (x == 2) inside.request_stop();
                                  return procpool::this_task::stop_requested() ? -x : x;
                                },
                                std::vector{0, 1, 2, 3});
  EXPECT_EQ(outcomes[1].value(), 1);
  EXPECT_EQ(outcomes[2].value(), -2);  // it runs, and hears of it
  support::error_of<TaskCancelled>(outcomes[3]);
}

TEST(StopToken, OfThePoolStopsAllOfItsCalls) {
  support::Trace const trace;
  std::stop_source source;
  ProcessPool pool{{.workers = 1, .defaults = {.stop = source.get_token()}}};
  auto running = pool.submit<hang>(1);
  auto waiting = pool.map_async<noted>(std::vector{2, 3});
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  source.request_stop();
  EXPECT_THROW(running.get(), TaskCancelled);
  EXPECT_THROW(waiting.get(), TaskCancelled);
  EXPECT_EQ(trace.size(), 1u);
}

TEST(StopToken, AForkedChildOwesNothing) {
  std::stop_source source;
  ProcessPool pool{1};
  auto future = pool.with({.stop = source.get_token()}).submit<tasks::after>(500);
  auto const child = ::fork();
  if (child == 0) {
    ::alarm(20);
    source.request_stop();
    ::_exit(0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(future.get(), 500);
}

// ---- request_stop() of futures

TEST(RequestStop, OfACallSaysWhetherItCameInTime) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto future = pool.submit<hang>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  EXPECT_TRUE(future.request_stop());
  EXPECT_THROW(future.get(), TaskCancelled);
  auto done = pool.submit<square>(3);
  done.wait();
  EXPECT_FALSE(done.request_stop());
  EXPECT_EQ(done.get(), 9);
  EXPECT_THROW(done.request_stop(), std::logic_error);
  EXPECT_THROW(static_cast<void>(done.get_stop_source()), std::logic_error);
}

TEST(RequestStop, BySourceWhileAnotherThreadWaits) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto future = pool.submit<hang>(1);
  std::jthread const other([&, source = future.get_stop_source()]() mutable {
    EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
    source.request_stop();
  });
  EXPECT_THROW(future.get(), TaskCancelled);
}

Future<int> awaits_two(ProcessPool& pool) {
  int const first = co_await pool.submit<square>(1);
  co_return co_await pool.submit<hang>(first);
}

TEST(RequestStop, OfWhatIsComposedReachesTheCallsBelow) {
  for (int kind = 0; kind < 6; ++kind) {
    support::Trace const trace;
    ProcessPool pool{2};
    auto const made = [&]() -> Future<int> {
      switch (kind) {
        case 0: return pool.submit<hang>(1).then([](int x) { return x; });
        case 1: return pool.submit<square>(1).then([&](int) { return pool.submit<hang>(1); });
        case 2: return awaits_two(pool);
        case 3:
          return procpool::when_all(pool.submit<hang>(1), pool.submit<square>(1))
              .then([](auto both) { return std::get<0>(both); });
        case 4:
          return procpool::when_any(pool.submit<hang>(1), pool.submit<hang>(2)).then([](auto any) {
            return static_cast<int>(any.index);
          });
        default:
          return procpool::when_all(std::vector<Future<int>>{})
              .then([&](auto const&) { return pool.submit<hang>(1); })
              .then([](int x) { return x; });
      }
    };
    auto future = made();
    ASSERT_TRUE(support::until([&] { return trace.size() >= 1; }));
    EXPECT_TRUE(future.request_stop()) << kind;
    EXPECT_THROW(future.get(), TaskCancelled) << kind;
  }
}

// As with cancel(): code that gets the cancellation may answer it.
TEST(RequestStop, ReachesCodeThatAnswersOnce) {
  support::Trace const trace;
  ProcessPool pool{1};
  auto future = pool.submit<hang>(1).then([&](Outcome<int> outcome) {
    EXPECT_FALSE(outcome.has_value());
    return pool.submit<square>(4);
  });
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  future.request_stop();
  EXPECT_EQ(future.get(), 16);
}

// Mostly the first call ends by itself before the request is carried out.
TEST(RequestStop, ThatComesTooLateReachesTheNextCall) {
  ProcessPool pool{1};
  for (int round = 0; round < support::rounds(60, 15); ++round) {
    ASSERT_EQ(pool.call<square>(round), round * round);  // its worker is there
    auto future = pool.submit<after_few_microseconds>(20).then(
        [&](int) { return pool.submit<tasks::after>(600'000); });
    std::this_thread::sleep_for(std::chrono::microseconds(round % 10 * 20));
    future.request_stop();
    bool const ended = future.wait_for(support::patience);
    if (!ended) pool.terminate();
    EXPECT_THROW(future.get(), TaskCancelled);
    ASSERT_TRUE(ended) << round;
  }
}

// The request comes before, between and after the calls of a chain: nothing hangs, and either the
// value comes or the cancellation.
TEST(RequestStop, AtAnyTimeOfAChain) {
  ProcessPool pool{2};
  int stopped = 0;
  for (int round = 0; round < support::rounds(600, 150); ++round) {
    auto future =
        pool.submit<after_few_microseconds>(20)
            .then([&](int x) { return pool.submit<after_few_microseconds>(x); })
            .then([&](int x) {
              return procpool::when_all(procpool::when_all(pool.submit<after_few_microseconds>(x),
                                                           pool.submit<after_few_microseconds>(x)),
                                        pool.submit<after_few_microseconds>(x));
            })
            .then([&](auto const&) { return pool.submit<after_few_microseconds>(7); });
    std::this_thread::sleep_for(std::chrono::microseconds(round % 100 * 10));
    future.request_stop();
    ASSERT_TRUE(future.wait_for(support::patience)) << round;
    try {
      EXPECT_EQ(future.get(), 7);
    } catch (TaskCancelled const&) {
      ++stopped;
    }
  }
  EXPECT_GT(stopped, 0);
  EXPECT_EQ(pool.call<square>(3), 9);
}

}  // namespace
