// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// CallOptions::progress: what the callback is told, where it runs, and that its end is exact.

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using procpool::Progress;

using tasks::square;
int sometimes(int x) {
  if (x % 10 == 3) throw std::out_of_range("not here");
  if (x % 50 == 7) ::raise(SIGKILL);
  return x;
}
long sum_of_all(std::vector<int> const& xs) {
  long all = 0;
  for (int const x : xs) all += x;
  return all;
}

// Without a lock: the callback is never called twice at the same time, and no more after the call.
struct Told {
  procpool::CallOptions options() {
    procpool::CallOptions made;
    made.progress = [this](Progress const& progress) {
      thread = std::this_thread::get_id();
      all.push_back(progress);
    };
    return made;
  }
  std::vector<Progress> all;
  std::thread::id thread;
};

void expect_sound(Told const& told, std::uint64_t elements) {
  ASSERT_FALSE(told.all.empty());
  for (std::size_t i = 1; i < told.all.size(); ++i) {
    EXPECT_GE(told.all[i].done, told.all[i - 1].done);
    EXPECT_GE(told.all[i].elapsed, told.all[i - 1].elapsed);
    EXPECT_FALSE(told.all[i - 1].finished);
  }
  EXPECT_TRUE(told.all.back().finished);
  EXPECT_EQ(told.all.back().done, elements);
  EXPECT_EQ(told.all.back().total, elements);
  EXPECT_NE(told.thread, std::this_thread::get_id());
}

TEST(Progress, OfMapEndsExactlyBeforeItReturns) {
  procpool::ProcessPool pool{2};
  for (int const elements : {0, 1, 7, 10'000}) {
    Told told;
    EXPECT_EQ(pool.with(told.options()).map<square>(std::views::iota(0, elements)).size(),
              static_cast<std::size_t>(elements));
    expect_sound(told, static_cast<std::uint64_t>(elements));
    EXPECT_EQ(told.all.front().total, static_cast<std::uint64_t>(elements));
  }
}

TEST(Progress, CountsFailures) {
  procpool::ProcessPool pool{2};
  Told told;
  EXPECT_EQ(pool.with(told.options()).outcomes().map<sometimes>(std::views::iota(0, 100)).size(),
            100u);
  expect_sound(told, 100);
  EXPECT_EQ(told.all.back().failed, 12u);
  EXPECT_EQ(told.all.back().cancelled, 0u);
}

TEST(Progress, CountsWhatAFailureCancels) {
  procpool::ProcessPool pool{2};
  Told told;
  std::vector<int> inputs(2'000, 3);
  EXPECT_THROW(pool.with(told.options()).map<sometimes>(inputs), std::out_of_range);
  ASSERT_FALSE(told.all.empty());
  Progress const& last = told.all.back();
  EXPECT_TRUE(last.finished);
  EXPECT_GE(last.failed, 1u);
  EXPECT_EQ(last.failed + last.cancelled, last.done);
}

TEST(Progress, OfARangeWithoutASizeKnowsTheTotalAtTheEnd) {
  procpool::ProcessPool pool{2};
  Told told;
  auto odd = std::views::iota(0, 1'000) | std::views::filter([](int x) { return x % 2; });
  EXPECT_EQ(pool.with(told.options()).map<square>(odd).size(), 500u);
  expect_sound(told, 500);
}

TEST(Progress, OfEveryOperationOverRanges) {
  procpool::ProcessPool pool{2};
  std::vector<int> const inputs{1, 2, 3, 4, 5};
  {
    Told told;
    EXPECT_EQ(pool.with(told.options()).map_async<square>(inputs).get().size(), 5u);
    expect_sound(told, 5);
  }
  {
    Told told;
    std::vector<std::tuple<int>> const tuples{{1}, {2}};
    EXPECT_EQ(pool.with(told.options()).starmap<square>(tuples).size(), 2u);
    expect_sound(told, 2);
  }
  {
    Told told;
    int results = 0;
    for (int const result : pool.with(told.options()).imap<square>(inputs)) results += result;
    EXPECT_EQ(results, 55);
    expect_sound(told, 5);
  }
  {
    Told told;
    auto options = told.options();
    options.slices = 3;
    EXPECT_EQ(pool.with(options).parallelize<sum_of_all>(inputs).size(), 3u);
    expect_sound(told, 3);
  }
}

TEST(Progress, AStreamThatIsLeftTellsNothingMore) {
  std::atomic<int> logged = 0;
  procpool::ProcessPool pool{{.workers = 2, .log = [&logged](std::string_view) { ++logged; }}};
  Told told;
  for (int const result : pool.with(told.options()).imap<square>(std::views::iota(0))) {
    if (result > 10'000) break;
  }
  std::size_t const before = told.all.size();
  static_cast<void>(pool.map<square>(std::views::iota(0, 1'000)));
  pool.join();
  EXPECT_EQ(told.all.size(), before);
  EXPECT_EQ(logged, 0);
}

TEST(Progress, OneThatThrowsIsLoggedOnceAndDisturbsNothing) {
  std::mutex mutex;
  std::string log;
  procpool::ProcessPool pool{{.workers = 2, .log = [&](std::string_view line) {
                                std::lock_guard const lock(mutex);
                                log += line;
                              }}};
  procpool::CallOptions options;
  options.progress = [](Progress const&) { throw std::runtime_error("bad bar"); };
  EXPECT_EQ(pool.with(options).map<square>(std::views::iota(0, 1'000)).size(), 1'000u);
  std::lock_guard const lock(mutex);
  EXPECT_NE(log.find("bad bar"), std::string::npos);
  EXPECT_EQ(log.find("bad bar"), log.rfind("bad bar"));
}

TEST(Progress, ASlowOneMissesStepsAndNotTheEnd) {
  procpool::ProcessPool pool{2};
  std::size_t calls = 0;
  std::uint64_t last = 0;
  procpool::CallOptions options;
  options.progress = [&](Progress const& progress) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++calls;
    last = progress.done;
  };
  options.chunk = 1;
  EXPECT_EQ(pool.with(options).map<square>(std::views::iota(0, 2'000)).size(), 2'000u);
  EXPECT_EQ(last, 2'000u);
  EXPECT_LT(calls, 1'000u);
}

TEST(Progress, FromACallbackDoesNotWaitForItself) {
  procpool::ProcessPool pool{2};
  Told told;
  auto const options = told.options();
  auto future = pool.submit<square>(3).then(
      [&](int) { return pool.with(options).map<square>(std::vector<int>{1, 2, 3}).size(); });
  EXPECT_EQ(future.get(), 3u);
  // The end is told when the callback is over; then() waits behind it.
  pool.submit<square>(1).then([](int) {}).get();
  EXPECT_TRUE(told.all.back().finished);
}

TEST(Progress, IsRefusedWhereThereIsNone) {
  procpool::ProcessPool pool{1};
  Told told;
  EXPECT_THROW(static_cast<void>(pool.with(told.options()).submit<square>(1)),
               std::invalid_argument);
  EXPECT_THROW(pool.with(told.options()).call<square>(1), std::invalid_argument);
}

// Each piece of work on a thread of its own.
procpool::Executor on_threads() {
  return [](std::function<void()> work) { std::thread(std::move(work)).detach(); };
}

TEST(Progress, OnAnExecutorWithSeveralThreadsIsNeverToldTwiceAtATime) {
  std::atomic<int> inside = 0;
  std::atomic<int> together = 0;
  std::atomic<bool> finished = false;
  procpool::ProcessPool pool{2};
  procpool::CallOptions options;
  options.chunk = 1;
  options.executor = on_threads();
  // The objects that it holds must live as long as it runs.
  options.progress =
      [&, text = std::make_unique<std::string>(100, 'x').release()](Progress const& progress) {
        if (++inside > 1) ++together;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if ((*text)[50] != 'x') ++together;
        --inside;
        if (progress.finished) {
          finished = true;
          delete text;
        }
      };
  EXPECT_EQ(pool.with(options).map<square>(std::views::iota(0, 2'000)).size(), 2'000u);
  EXPECT_TRUE(support::until([&] { return finished.load(); }));
  EXPECT_EQ(together, 0);
}

TEST(Progress, ItsObjectGoesWhenItHasReturned) {
  std::atomic<bool> inside = false;
  std::atomic<bool> gone = false;
  std::atomic<bool> gone_inside = false;
  struct Sentinel {
    std::atomic<bool>& inside;
    std::atomic<bool>& gone;
    std::atomic<bool>& gone_inside;
    ~Sentinel() {
      if (inside) gone_inside = true;
      gone = true;
    }
  };
  {
    procpool::ProcessPool pool{2};
    procpool::CallOptions options;
    options.executor = on_threads();
    options.progress =
        [&inside, kept = std::make_shared<Sentinel>(inside, gone, gone_inside)](Progress const&) {
          inside = true;
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
          inside = false;
        };
    EXPECT_EQ(pool.with(options).map<square>(std::views::iota(0, 50)).size(), 50u);
  }
  EXPECT_TRUE(support::until([&] { return gone.load(); }));
  EXPECT_FALSE(gone_inside);
}

}  // namespace
