// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// close, join, join_for, terminate, shutdown: each from any thread, each as often as one likes, and
// no accepted task is ever left without an end.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <procpool.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/ends.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::End;
using support::Ends;
using support::ends_of;

namespace {

using tasks::square;
using tasks::who;
int note_and_sleep(int x, int milliseconds) {
  support::Trace::note(x);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return x;
}

}  // namespace

TEST(Close, RefusesWhatComesAfter) {
  procpool::ProcessPool pool{2};
  auto accepted = pool.submit<note_and_sleep>(7, 0);
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.submit<square>(1)), procpool::PoolClosed);
  EXPECT_THROW(pool.call<square>(1), procpool::PoolClosed);
  EXPECT_THROW(pool.map<square>(std::vector{1, 2}), procpool::PoolClosed);
  EXPECT_THROW(pool.outcomes().map<square>(std::vector{1, 2}), procpool::PoolClosed);
  pool.close();
  pool.join();
  EXPECT_THROW(static_cast<void>(pool.submit<square>(1)), procpool::PoolClosed);
}

TEST(Close, BeforeTheFirstTask) {
  procpool::ProcessPool pool{2};
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.submit<square>(1)), procpool::PoolClosed);
  pool.join();
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(Close, LetsWhatWasAcceptedRun) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit<note_and_sleep>(i, 1));
  pool.close();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

TEST(Join, WaitsForEverythingAndEveryone) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  pid_t const worker = pool.call<who>();
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit<note_and_sleep>(i, 1));
  pool.join();
  EXPECT_EQ(trace.size(), 50u);
  EXPECT_EQ(ends_of(futures), (Ends{.values = 50}));
  EXPECT_EQ(support::stat_of(worker).state, '\0');
  EXPECT_THROW(static_cast<void>(pool.submit<square>(1)), procpool::PoolClosed);
  pool.join();
}

TEST(Join, OfAPoolThatWasNeverUsed) {
  procpool::ProcessPool pool{2};
  pool.join();
  EXPECT_TRUE(pool.join_for(0ms));
}

TEST(JoinFor, SaysWhetherAllHasEnded) {
  support::Gate gate;
  procpool::ProcessPool pool{1};
  auto future = pool.submit<support::wait_at>(gate.path());
  support::Stopwatch watch;
  EXPECT_FALSE(pool.join_for(50ms));
  EXPECT_GE(watch.passed(), 50ms);
  EXPECT_FALSE(pool.join_for(0ms));
  gate.open();
  EXPECT_TRUE(pool.join_for(30s));
  future.get();
}

TEST(Terminate, KeepsTheResultsThatAreThere) {
  procpool::ProcessPool pool{1};
  auto done = pool.submit<square>(4);
  done.wait();
  auto running = pool.submit<note_and_sleep>(1, 60'000);
  pool.terminate();
  EXPECT_EQ(done.get(), 16);
  EXPECT_THROW(running.get(), procpool::TaskCancelled);
}

TEST(Terminate, IsHarmlessAtAnyTime) {
  procpool::ProcessPool unused{2};
  unused.terminate();
  unused.terminate();
  EXPECT_THROW(static_cast<void>(unused.submit<square>(1)), procpool::PoolClosed);

  procpool::ProcessPool joined{2};
  joined.call<square>(2);
  joined.join();
  joined.terminate();
  joined.close();

  // While its first worker is only starting.
  for (int i = 0; i < support::rounds(30, 5); ++i) {
    procpool::ProcessPool young{2};
    auto future = young.submit<square>(3);
    std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
    young.terminate();
    ASSERT_TRUE(future.ready());
    try {
      EXPECT_EQ(future.get(), 9);
    } catch (procpool::TaskCancelled const&) {
    }
  }
}

// Somebody in another thread may be waiting for what is killed.
TEST(Terminate, WakesThoseWhoWait) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::atomic<int> cancelled{0};
  std::thread waiter([&] {
    auto future = pool.submit<note_and_sleep>(1, 60'000);
    try {
      future.get();
    } catch (procpool::TaskCancelled const&) {
      ++cancelled;
    }
  });
  std::thread mapper([&] {
    for (auto const& outcome :
         pool.outcomes().map(procpool::bind_back(note_and_sleep, 60'000), std::vector<int>(20))) {
      if (!outcome.has_value() && support::is<procpool::TaskCancelled>(outcome.error()))
        ++cancelled;
    }
  });
  EXPECT_TRUE(support::until([&] { return trace.size() == 1 && pool.stats().submitted == 21; }));
  pool.terminate();
  waiter.join();
  mapper.join();
  EXPECT_EQ(cancelled, 21);
}

TEST(ShutdownCancel, LetsWhatRunsFinishAndCancelsTheRest) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(pool.submit<note_and_sleep>(i, 150));
  ASSERT_TRUE(support::until([&] { return trace.size() >= 2; }));
  auto const summary = pool.shutdown(End::cancel);
  // Exactly the elements that were begun have a value.
  std::size_t const begun = trace.size();
  EXPECT_GE(begun, 2u);
  EXPECT_LT(begun, 20u);
  EXPECT_EQ(ends_of(futures), (Ends{.values = begun, .cancelled = 200 - begun}));
  EXPECT_EQ(summary.done, begun);
  EXPECT_EQ(summary.cancelled, 200 - begun);
  EXPECT_EQ(summary.forced, 0u);
}

// Inside a chunk too: it is elements that are cancelled.
TEST(ShutdownCancel, EndsAMapInTheMiddleOfAChunk) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::vector<procpool::Outcome<int>> outcomes;
  std::thread mapper([&] {
    std::vector<int> inputs(100);
    for (int i = 0; i < 100; ++i) inputs[static_cast<std::size_t>(i)] = i;
    outcomes =
        pool.with({.chunk = 100}).outcomes().map(procpool::bind_back(note_and_sleep, 20), inputs);
  });
  EXPECT_TRUE(support::until([&] { return trace.size() >= 3; }));
  auto const summary = pool.shutdown(End::cancel);
  mapper.join();
  std::size_t const begun = trace.size();
  EXPECT_LT(begun, 90u);
  ASSERT_EQ(outcomes.size(), 100u);
  for (std::size_t i = 0; i < 100; ++i) {
    if (i < begun) {
      EXPECT_EQ(outcomes[i].value(), static_cast<int>(i));
    } else {
      EXPECT_TRUE(support::is<procpool::TaskCancelled>(outcomes[i].error()));
    }
  }
  EXPECT_EQ(summary.done, begun);
  EXPECT_EQ(summary.cancelled, 100 - begun);
}

TEST(ShutdownDrain, KillsAtItsDeadline) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  futures.push_back(pool.submit<square>(3));
  futures.front().wait();
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit<note_and_sleep>(i, 60'000));
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  support::Stopwatch watch;
  auto const summary = pool.shutdown(End::drain, 200ms);
  EXPECT_GE(watch.passed(), 200ms);
  EXPECT_LT(watch.passed(), 10s);
  EXPECT_EQ(ends_of(futures), (Ends{.values = 1, .cancelled = 10}));
  EXPECT_EQ(summary.done, 1u);
  EXPECT_EQ(summary.cancelled, 10u);
  EXPECT_EQ(summary.forced, 2u);
}

TEST(ShutdownDrain, BeforeItsDeadlineIsAPlainDrain) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 30; ++i) futures.push_back(pool.submit<square>(i));
  auto const summary = pool.shutdown(End::drain, 40s);
  EXPECT_EQ(ends_of(futures), (Ends{.values = 30}));
  EXPECT_EQ(summary.done, 30u);
  EXPECT_EQ(summary.cancelled, 0u);
  EXPECT_EQ(summary.forced, 0u);
}

TEST(Shutdown, CountsEverythingItMetInThePoolsLife) {
  procpool::ProcessPool pool{2};
  pool.map<square>(std::vector{1, 2, 3, 4, 5});
  EXPECT_THROW(pool.call([] { throw std::runtime_error("one"); }), std::runtime_error);
  EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
  auto const summary = pool.shutdown(End::drain);
  EXPECT_EQ(summary.done, 7u);
  EXPECT_EQ(summary.cancelled, 0u);
  EXPECT_EQ(summary.forced, 0u);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.done, 7u);
  EXPECT_EQ(stats.workers, 0u);
  EXPECT_EQ(stats.worker_deaths, 1u);
}

TEST(Shutdown, IsIdempotent) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  auto running = pool.submit<note_and_sleep>(1, 60'000);
  auto waiting = pool.submit<square>(2);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto const first = pool.shutdown(End::kill);
  EXPECT_EQ(first.cancelled, 2u);
  EXPECT_EQ(first.forced, 1u);
  for (End const end : {End::kill, End::drain, End::cancel}) {
    auto const again = pool.shutdown(end);
    EXPECT_EQ(again.done, first.done);
    EXPECT_EQ(again.cancelled, first.cancelled);
    EXPECT_EQ(again.forced, first.forced);
  }
}

TEST(Shutdown, FromSeveralThreadsAtOnce) {
  for (int round = 0; round < support::rounds(10, 2); ++round) {
    procpool::ProcessPool pool{2};
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit<square>(i));
    std::vector<std::thread> threads;
    std::vector<procpool::Summary> summaries(4);
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        summaries[t] = pool.shutdown(t == 0 ? End::drain : t == 1 ? End::cancel : End::kill);
      });
    }
    for (auto& thread : threads) thread.join();
    Ends const ends = ends_of(futures);
    EXPECT_EQ(ends.open, 0u);
    EXPECT_EQ(ends.values + ends.cancelled, 100u) << ends;
    for (auto const& summary : summaries) {
      EXPECT_EQ(summary.done, ends.values);
      EXPECT_EQ(summary.cancelled, ends.cancelled);
    }
  }
}

// A stronger end replaces a weaker one that is under way.
TEST(Shutdown, StrongerReplacesWeaker) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  auto running = pool.submit<note_and_sleep>(1, 60'000);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  support::Stopwatch watch;
  std::thread joiner([&] { pool.join(); });
  std::this_thread::sleep_for(20ms);
  pool.terminate();
  joiner.join();
  EXPECT_LT(watch.passed(), 20s);
  EXPECT_THROW(running.get(), procpool::TaskCancelled);
}

TEST(Shutdown, WhileOthersSubmit) {
  for (End const end : {End::drain, End::cancel, End::kill}) {
    procpool::ProcessPool pool{2};
    std::vector<std::vector<procpool::Future<int>>> futures(4);
    std::vector<std::thread> threads;
    std::atomic<int> refused{0};
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        try {
          for (int i = 0;; ++i) futures[t].push_back(pool.submit<square>(i));
        } catch (procpool::PoolClosed const&) {
          ++refused;
        }
      });
    }
    std::this_thread::sleep_for(30ms);
    auto const summary = pool.shutdown(end);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(refused, 4);
    Ends all;
    std::size_t accepted = 0;
    for (auto& some : futures) {
      accepted += some.size();
      Ends const ends = ends_of(some);
      all.values += ends.values;
      all.cancelled += ends.cancelled;
      all.open += ends.open;
    }
    EXPECT_EQ(all.open, 0u);
    EXPECT_EQ(all.values + all.cancelled, accepted);
    EXPECT_EQ(summary.done, all.values);
    EXPECT_EQ(summary.cancelled, all.cancelled);
    EXPECT_TRUE(end != End::drain || all.cancelled == 0);
  }
}

// The worker that dies is replaced also when the pool has begun to end.
TEST(Shutdown, CrashesAfterItHasBegun) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 60; ++i) {
    futures.push_back(pool.submit(
        [](int x) {
          std::this_thread::sleep_for(5ms);
          if (x % 6 == 5) ::raise(SIGSEGV);
          return x;
        },
        i));
  }
  auto const summary = pool.shutdown(End::drain);
  EXPECT_EQ(ends_of(futures), (Ends{.values = 50, .died = 10}));
  EXPECT_EQ(summary.done, 60u);
  EXPECT_EQ(pool.stats().worker_deaths, 10u);
}

TEST(Shutdown, CrashesWhileCancelling) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::vector<procpool::Future<int>> futures;
  futures.push_back(pool.submit(
      [](int x) {
        support::Trace::note(x);
        std::this_thread::sleep_for(200ms);
        ::raise(SIGSEGV);
        return x;
      },
      1));
  for (int i = 0; i < 9; ++i) futures.push_back(pool.submit<square>(i));
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto const summary = pool.shutdown(End::cancel);
  EXPECT_EQ(ends_of(futures), (Ends{.cancelled = 9, .died = 1}));
  EXPECT_EQ(summary.done, 1u);
  EXPECT_EQ(summary.cancelled, 9u);
}

// A worker that does not leave when it is asked is made to.
TEST(Shutdown, WorkerThatDoesNotLeaveIsForced) {
  procpool::ProcessPool pool{{.workers = 1, .shutdown = {.stop_grace = 100ms}}};
  // Something that its exit waits for, for ever, and that ignores SIGTERM.
  pool.call([] {
    ::signal(SIGTERM, SIG_IGN);
    std::atexit([] {
      for (;;) ::pause();
    });
  });
  support::Stopwatch watch;
  auto const summary = pool.shutdown(End::drain);
  EXPECT_LT(watch.passed(), 10s);
  EXPECT_EQ(summary.forced, 1u);
  EXPECT_EQ(summary.done, 1u);
}

// Workers leave by exit: what a program wants done at its end is done.
TEST(Shutdown, WorkersLeaveByExit) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  pool.call([] {
    support::Trace::note(1);
    std::atexit([] { support::Trace::note(2); });
  });
  pool.join();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{1, 2}));
}
