// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Ends from everywhere and together: from callbacks, from several threads, during one another, with
// others waiting in every way that there is, and next to other pools.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/ends.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::End;
using procpool::Summary;
using procpool::TaskCancelled;
using support::Ends;
using support::ends_of;

namespace {

using support::patience;

using tasks::pause_for_ever;
using tasks::square;
int stop_noting_pid(int x) {
  support::Trace::note(::getpid());
  ::raise(SIGSTOP);
  return x;
}

bool same_summary(Summary const& one, Summary const& other) {
  return one.done == other.done && one.cancelled == other.cancelled && one.forced == other.forced;
}

// A pool whose only worker is stopped in the middle of an element: it ends when this says so.
struct Held {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::vector<procpool::Future<int>> futures;
  pid_t worker = 0;

  explicit Held(int waiting) {
    futures.push_back(pool.submit<stop_noting_pid>(0));
    for (int i = 1; i <= waiting; ++i) futures.push_back(pool.submit<square>(i));
    EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
    worker = static_cast<pid_t>(trace.numbers().at(0));
    EXPECT_TRUE(support::until([&] { return support::stat_of(worker).state == 'T'; }));
  }
  void go_on() const { ::kill(worker, SIGCONT); }
};

}  // namespace

// ---- from callbacks

TEST(EndFromACallback, OfEveryKindByEveryEnd) {
  using Begin = std::function<void(procpool::ProcessPool&, std::function<void()>)>;
  Begin const by_on_ready = [](procpool::ProcessPool& pool, std::function<void()> end) {
    pool.submit<square>(1).on_ready(std::move(end));
  };
  Begin const by_then = [](procpool::ProcessPool& pool, std::function<void()> end) {
    static_cast<void>(pool.submit<square>(1).then([end = std::move(end)](int) { end(); }));
  };
  Begin const by_progress = [](procpool::ProcessPool& pool, std::function<void()> end) {
    auto const once = std::make_shared<std::once_flag>();
    static_cast<void>(
        pool.with({.progress = [once,
                                end](procpool::Progress const&) { std::call_once(*once, end); }})
            .map_async<square>(std::vector{1}));
  };
  for (Begin const& begin : {by_on_ready, by_then, by_progress}) {
    for (End const end : {End::drain, End::cancel, End::kill}) {
      support::Trace const trace;
      procpool::ProcessPool pool{1};
      std::promise<Summary> told;
      begin(pool, [&] {
        told.set_value(pool.shutdown(end, end == End::kill ? std::nullopt : std::optional(100ms)));
      });
      // Behind it, if it comes in time.
      std::vector<procpool::Future<int>> futures;
      try {
        for (int i = 0; i < 5; ++i) futures.push_back(pool.submit<pause_for_ever>(i));
      } catch (procpool::PoolClosed const&) {
      }
      auto summary = told.get_future();
      ASSERT_EQ(summary.wait_for(patience), std::future_status::ready);
      Summary const done = summary.get();
      EXPECT_EQ(done.done, 1u);
      EXPECT_EQ(done.cancelled, futures.size());
      EXPECT_EQ(ends_of(futures), (Ends{.cancelled = futures.size()}));
    }
  }
}

// Without it the pool would never be joined: what waits does not end by itself.
TEST(EndFromACallback, WhileThePoolIsBeingJoined) {
  Held held(0);
  for (int i = 0; i < 5; ++i) held.futures.push_back(held.pool.submit<pause_for_ever>(i));
  held.futures.front().on_ready([&] { held.pool.terminate(); });
  auto joined = std::async(std::launch::async, [&] { held.pool.join(); });
  EXPECT_EQ(joined.wait_for(20ms), std::future_status::timeout);
  held.go_on();
  ASSERT_EQ(joined.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(ends_of(held.futures), (Ends{.values = 1, .cancelled = 5}));
}

// ---- during one another

TEST(EndsTogether, TheEarliestDeadlineAndTheStrongestEndCount) {
  for (bool const by_deadline : {true, false}) {
    Held held(5);
    procpool::ProcessPool& pool = held.pool;
    std::vector<std::future<Summary>> weaker;
    auto const begin = [&](auto end) {
      weaker.push_back(std::async(std::launch::async, std::move(end)));
    };
    begin([&] { return pool.shutdown(End::drain); });
    begin([&] { return pool.shutdown(End::drain, 10min); });
    begin([&] { return pool.shutdown(End::cancel, 10min); });
    begin([&] {
      pool.join();
      return pool.shutdown();
    });
    begin([&] {
      EXPECT_TRUE(pool.join_for(10min));
      return pool.shutdown();
    });
    for (auto& one : weaker) EXPECT_EQ(one.wait_for(10ms), std::future_status::timeout);
    Summary const summary = by_deadline ? pool.shutdown(End::drain, 50ms) : pool.terminate();
    for (auto& one : weaker) {
      ASSERT_EQ(one.wait_for(patience), std::future_status::ready);
      EXPECT_TRUE(same_summary(one.get(), summary));
    }
    EXPECT_EQ(summary.done, 0u);
    EXPECT_EQ(summary.cancelled, 6u);
    EXPECT_EQ(summary.forced, 1u);
    EXPECT_EQ(ends_of(held.futures), (Ends{.cancelled = 6}));
  }
}

// A later deadline does not delay an earlier one, a weaker end does not bring back what is
// cancelled.
TEST(EndsTogether, NothingWeakensWhatHasBegun) {
  Held held(5);
  auto first =
      std::async(std::launch::async, [&] { return held.pool.shutdown(End::cancel, 500ms); });
  ASSERT_TRUE(support::until([&] { return held.pool.stats().queued == 0; }));
  for (std::size_t i = 1; i < held.futures.size(); ++i) {
    EXPECT_THROW(held.futures[i].get(), TaskCancelled);
  }
  Summary const second = held.pool.shutdown(End::drain, 10min);
  EXPECT_TRUE(same_summary(first.get(), second));
  EXPECT_EQ(second.cancelled, 6u);
  EXPECT_EQ(second.forced, 1u);
}

// ---- what goes on meanwhile

TEST(EndsTogether, JoinForLeavesWhatIsLeftToGoOn) {
  Held held(5);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(held.pool.join_for(10ms));
    auto const stats = held.pool.stats();
    EXPECT_EQ(stats.running, 1u);
    EXPECT_EQ(stats.queued, 5u);
    EXPECT_EQ(stats.workers, 1u);
  }
  EXPECT_THROW(static_cast<void>(held.pool.submit<square>(1)), procpool::PoolClosed);
  held.go_on();
  EXPECT_TRUE(held.pool.join_for(patience));
  EXPECT_EQ(ends_of(held.futures), (Ends{.values = 6}));
}

// Results of a drain come when they are there, not when it is over.
TEST(EndsTogether, ADrainDeliversWhileItLasts) {
  support::Trace const trace;
  procpool::ProcessPool pool{2};
  auto last = pool.submit<stop_noting_pid>(7);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit<square>(i));
  auto continued = pool.submit<square>(9).then([](int x) { return x + 1; });
  auto results = pool.map_async<square>(std::vector{1, 2, 3});
  auto drained = std::async(std::launch::async, [&] { return pool.shutdown(End::drain); });
  for (int i = 0; i < 50; ++i) {
    auto& future = futures[static_cast<std::size_t>(i)];
    ASSERT_TRUE(future.wait_for(patience));
    EXPECT_EQ(future.get(), i * i);
  }
  ASSERT_TRUE(continued.wait_for(patience));
  EXPECT_EQ(continued.get(), 82);
  ASSERT_TRUE(results.wait_for(patience));
  EXPECT_EQ(results.get(), (std::vector{1, 4, 9}));
  EXPECT_EQ(drained.wait_for(0ms), std::future_status::timeout);
  ::kill(static_cast<pid_t>(trace.numbers().front()), SIGCONT);
  ASSERT_EQ(drained.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(drained.get().done, 55u);
  EXPECT_EQ(last.get(), 7);
}

// ---- those who wait

TEST(EndsTogether, TerminateWakesWaitersOfEveryKind) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  constexpr std::size_t inputs = 3;
  auto const several = [&] {
    std::vector<procpool::Future<int>> futures;
    for (std::size_t i = 0; i < inputs; ++i) futures.push_back(pool.submit<pause_for_ever>(1));
    return futures;
  };
  auto const endless = std::views::iota(0) | std::views::take(1'000'000);
  std::vector<std::function<void()>> const waiters = {
      [&] { pool.submit<pause_for_ever>(1).get(); },
      [&] { pool.call<pause_for_ever>(1); },
      [&] {
        auto future = pool.submit<pause_for_ever>(1);
        EXPECT_TRUE(future.wait_for(10min));
        future.get();
      },
      [&] { pool.map<pause_for_ever>(std::vector<int>(inputs)); },
      [&] { pool.map_async<pause_for_ever>(std::vector<int>(inputs)).get(); },
      [&] {
        pool.parallelize([](std::vector<int> all) { return pause_for_ever(all[0]); },
                         std::vector<int>(inputs));
      },
      [&] {
        for (int const each : pool.with({.window = inputs}).imap<pause_for_ever>(endless))
          static_cast<void>(each);
      },
      [&] {
        for (auto const& each :
             pool.with({.window = inputs}).imap_unordered<pause_for_ever>(endless)) {
          static_cast<void>(each.value);
        }
      },
      [&] {
        auto futures = several();
        for (auto& future : procpool::as_completed(futures)) future.get();
      },
      [&] { procpool::when_all(several()).get(); },
      [&] {
        auto any = procpool::when_any(several()).get();
        any.futures[any.index].get();
      },
      [&] { pool.submit<pause_for_ever>(1).then([](int x) { return x; }).get(); },
      [&] {
        [](procpool::ProcessPool& own) -> procpool::Future<int> {
          co_return co_await own.submit<pause_for_ever>(1);
        }(pool)
                                              .get();
      },
  };
  std::atomic<int> woken{0};
  std::vector<std::atomic<pid_t>> ids(waiters.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    threads.emplace_back([&, i] {
      ids[i] = ::gettid();
      EXPECT_THROW(waiters[i](), TaskCancelled) << "waiter " << i;
      ++woken;
    });
  }
  // All has been submitted, by the six that submit one element and by the others; then all sleep.
  std::uint64_t const all_elements = 6 + (waiters.size() - 6) * inputs;
  ASSERT_TRUE(support::until([&] {
    if (trace.size() != 1 || pool.stats().submitted != all_elements) return false;
    return std::ranges::all_of(ids, [](auto const& id) { return id != 0 && support::asleep(id); });
  }));
  pool.terminate();
  bool const all = support::until([&] { return woken == static_cast<int>(waiters.size()); });
  EXPECT_TRUE(all) << woken << " of " << waiters.size();
  if (!all) std::abort();  // the threads could never be joined
  for (auto& thread : threads) thread.join();
}

TEST(EndsTogether, LaterCallsOfEveryOperationAreRefused) {
  procpool::ProcessPool pool{{.workers = 1, .name = "late"}};
  pool.call<square>(1);
  pool.terminate();
  std::vector const inputs{1, 2};
  std::vector<std::function<void()>> const operations = {
      [&] { static_cast<void>(pool.submit<square>(1)); },
      [&] { pool.call<square>(1); },
      [&] { pool.map<square>(inputs); },
      [&] { pool.starmap<square>(std::vector{std::tuple(1)}); },
      [&] { static_cast<void>(pool.map_async<square>(inputs)); },
      [&] { pool.outcomes().map<square>(inputs); },
      [&] { static_cast<void>(pool.imap<square>(inputs)); },
      [&] { static_cast<void>(pool.imap_unordered<square>(inputs)); },
      [&] { pool.parallelize([](std::vector<int> all) { return all; }, inputs); },
  };
  for (auto const& operation : operations) {
    auto const closed = support::thrown_by<procpool::PoolClosed>(operation);
    EXPECT_TRUE(support::says(closed, "late"));
  }
  EXPECT_EQ(pool.stats().submitted, 1u);
}

// ---- other pools

TEST(EndsTogether, KillingOnePoolTouchesNoOther) {
  Held other(20);
  for (int i = 0; i < support::rounds(10, 3); ++i) {
    support::Trace const trace;
    procpool::ProcessPool killed{2};
    auto const first = killed.submit<pause_for_ever>(1);
    auto const second = killed.submit<pause_for_ever>(2);
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
    EXPECT_EQ(killed.terminate().forced, 2u);
  }
  other.go_on();
  EXPECT_EQ(other.pool.shutdown().done, 21u);
  EXPECT_EQ(ends_of(other.futures), (Ends{.values = 21}));
  EXPECT_EQ(other.pool.stats().worker_starts, 1u);
  EXPECT_EQ(other.pool.stats().worker_deaths, 0u);
}
