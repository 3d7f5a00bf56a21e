// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How a pool ends when it goes out of scope.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

int note_slowly(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(1ms);
  return x;
}
int sleep_long(int seconds) {
  support::Trace::note(::getpid());
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  return seconds;
}
using tasks::square;

}  // namespace

TEST(Destructor, OfAPoolThatWasNeverUsed) {
  support::Stopwatch watch;
  for (int i = 0; i < 100; ++i) procpool::ProcessPool pool{8};
  EXPECT_LT(watch.passed(), 5s);
}

TEST(Destructor, WaitsForWhatWasAccepted) {
  support::Trace trace;
  {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < 200; ++i)
      static_cast<void>(pool.submit<note_slowly>(i));  // nobody holds the futures
  }
  EXPECT_EQ(trace.size(), 200u);
  EXPECT_EQ(trace.counts().size(), 200u);
}

TEST(Destructor, FuturesOutliveThePool) {
  std::vector<procpool::Future<int>> futures;
  {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit<square>(i));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(futures[static_cast<std::size_t>(i)].ready());
    EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
  }
}

TEST(Destructor, LargeResultsOutliveThePool) {
  std::optional<procpool::Future<std::string>> future;
  {
    procpool::ProcessPool pool{1};
    future = pool.submit([](std::size_t size) { return std::string(size, 'o'); },
                         std::size_t{5'000'000});
  }
  EXPECT_EQ(future->get(), std::string(5'000'000, 'o'));
}

TEST(Destructor, ErrorsOutliveThePool) {
  std::vector<procpool::Future<int>> futures;
  {
    procpool::ProcessPool pool{1};
    futures.push_back(
        pool.submit([](int x) -> int { throw std::out_of_range(std::to_string(x)); }, 5));
    futures.push_back(pool.submit(
        [](int x) {
          ::_exit(x);
          return x;
        },
        5));
  }
  EXPECT_THROW(futures[0].get(), std::out_of_range);
  EXPECT_THROW(futures[1].get(), procpool::WorkerDied);
}

TEST(Destructor, KillsWhileAnExceptionUnwinds) {
  support::Trace trace;
  std::vector<procpool::Future<int>> futures;
  support::Stopwatch watch;
  try {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < 10; ++i) futures.push_back(pool.submit<sleep_long>(60));
    EXPECT_TRUE(support::until([&] { return trace.size() == 2; }));
    throw std::runtime_error("on the way out");
  } catch (std::runtime_error const& error) {
    EXPECT_STREQ(error.what(), "on the way out");
  }
  EXPECT_LT(watch.passed(), 20s);
  for (auto& future : futures) EXPECT_THROW(future.get(), procpool::TaskCancelled);
  for (auto const pid : trace.numbers()) EXPECT_FALSE(support::alive(static_cast<pid_t>(pid)));
}

// An exception that was under way already when the pool was made is none of its business.
TEST(Destructor, WaitsIfTheExceptionIsOlderThanThePool) {
  support::Trace trace;
  struct Cleaner {
    ~Cleaner() {
      procpool::ProcessPool pool{1};
      for (int i = 0; i < 50; ++i) static_cast<void>(pool.submit<note_slowly>(i));
    }
  };
  try {
    Cleaner const cleaner;
    throw std::runtime_error("older");
  } catch (std::runtime_error const&) {
  }
  EXPECT_EQ(trace.size(), 50u);
}

TEST(Destructor, DoesWhatTheOptionsSay) {
  support::Trace trace;
  support::Stopwatch watch;
  std::vector<procpool::Future<int>> futures;
  {
    procpool::ProcessPool pool{{.workers = 1, .shutdown = {.at_exit = procpool::End::kill}}};
    for (int i = 0; i < 3; ++i) futures.push_back(pool.submit<sleep_long>(60));
    EXPECT_TRUE(support::until([&] { return trace.size() == 1; }));
  }
  {
    procpool::ProcessPool pool{{.workers = 1, .shutdown = {.timeout = 100ms}}};
    for (int i = 0; i < 3; ++i) futures.push_back(pool.submit<sleep_long>(60));
  }
  EXPECT_LT(watch.passed(), 20s);
  for (auto& future : futures) EXPECT_THROW(future.get(), procpool::TaskCancelled);

  trace.clear();
  futures.clear();
  {
    procpool::ProcessPool pool{{.workers = 1, .shutdown = {.at_exit = procpool::End::cancel}}};
    for (int i = 0; i < 50; ++i)
      futures.push_back(pool.submit(
          [](int x) {
            support::Trace::note(x);
            std::this_thread::sleep_for(100ms);
            return x;
          },
          i));
    EXPECT_TRUE(support::until([&] { return trace.size() != 0; }));
  }
  std::size_t done = 0;
  for (auto& future : futures) {
    try {
      future.get();
      ++done;
    } catch (procpool::TaskCancelled const&) {
    }
  }
  EXPECT_EQ(done, trace.size());
  EXPECT_LT(done, 50u);
}

// Somebody who waits that long wants to know for what.
TEST(Destructor, SaysAfterTenSecondsWhatItWaitsFor) {
  support::Trace trace;
  std::mutex mutex;
  std::string log;
  std::uint64_t task = 0;
  {
    procpool::PoolOptions options{.workers = 1, .name = "waits_long"};
    options.log = [&](std::string_view text) {
      std::lock_guard const lock(mutex);
      log += text;
    };
    procpool::ProcessPool pool{options};
    task = support::error_of<procpool::FromWorker<std::runtime_error>>(
               pool.outcomes()
                   .map([](int) -> int { throw std::runtime_error("which task?"); }, std::vector{1})
                   .front())
               .task;
    static_cast<void>(pool.submit<sleep_long>(11));
  }
  EXPECT_NE(log.find("waits_long"), std::string::npos) << log;
  EXPECT_NE(log.find(std::to_string(task + 1)), std::string::npos) << log;
}

TEST(Pool, LivesOnAThreadThatIsNotTheMainOne) {
  std::vector<int> results;
  std::thread([&] {
    procpool::ProcessPool pool{2};
    results = pool.map<square>(std::vector{1, 2, 3});
  }).join();
  EXPECT_EQ(results, (std::vector{1, 4, 9}));
}

// Made by one thread, used by a second, destroyed by a third; the first is gone by then.
TEST(Pool, OutlivesTheThreadThatMadeIt) {
  std::unique_ptr<procpool::ProcessPool> pool;
  std::thread([&] {
    pool = std::make_unique<procpool::ProcessPool>(2);
    EXPECT_EQ(pool->call<square>(3), 9);
  }).join();
  std::thread([&] {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pool->call<square>(i), i * i);
  }).join();
  EXPECT_EQ(pool->stats().worker_starts, 1u);
  std::thread([&] { pool.reset(); }).join();
  EXPECT_EQ(pool, nullptr);
}

TEST(Pool, SeveralAtOnceAreIndependent) {
  procpool::ProcessPool first{2};
  procpool::ProcessPool second{2};
  auto const results = first.map<square>(std::vector{1, 2, 3});
  EXPECT_EQ(second.map<square>(results), (std::vector{1, 16, 81}));
  first.terminate();
  EXPECT_EQ(second.call<square>(5), 25);
  EXPECT_THROW(first.call<square>(5), procpool::PoolClosed);
}
