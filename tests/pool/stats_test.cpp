// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The counters, while everything moves: queued + running + done = submitted, at every moment.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <procpool.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/until.hpp"

namespace {

int work_for(int x) {
  if (x % 97 == 0) std::raise(SIGKILL);
  if (x % 13 == 0) throw std::runtime_error("thirteen");
  std::this_thread::sleep_for(std::chrono::microseconds(x % 5 * 50));
  return x;
}

}  // namespace

TEST(Stats, AddUpAtEveryMoment) {
  procpool::ProcessPool pool{3};
  std::atomic<bool> over{false};
  std::uint64_t samples = 0;
  std::uint64_t wrong = 0;
  std::thread sampler([&] {
    std::uint64_t done = 0;
    while (!over) {
      auto const stats = pool.stats();
      wrong += stats.queued + stats.running + stats.done != stats.submitted;
      wrong += stats.done < done;
      wrong += stats.workers > 3;
      done = stats.done;
      ++samples;
    }
  });
  int const elements = support::rounds(2'000, 300);
  for (int round = 0; round < 3; ++round) {
    std::vector<int> inputs;
    for (int i = 1; i <= elements; ++i) inputs.push_back(i);
    pool.outcomes().map<work_for>(inputs);
  }
  over = true;
  sampler.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(samples, 10u);

  auto const stats = pool.stats();
  EXPECT_EQ(stats.submitted, 3u * static_cast<unsigned>(elements));
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(stats.queued, 0u);
  EXPECT_EQ(stats.running, 0u);
  EXPECT_GT(stats.worker_deaths, 0u);
  EXPECT_GE(stats.worker_starts, stats.worker_deaths);
}

TEST(Stats, CountWorkersThatDied) {
  procpool::ProcessPool pool{1};
  for (std::uint64_t deaths = 1; deaths <= 3; ++deaths) {
    EXPECT_ANY_THROW(pool.call([] { std::raise(SIGSEGV); }));
    EXPECT_EQ(pool.stats().worker_deaths, deaths);
  }
  EXPECT_EQ(pool.call([] { return 1; }), 1);
  EXPECT_EQ(pool.stats().worker_starts, 4u);
}

TEST(Stats, ShowWhatRuns) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<void>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(
        pool.submit([] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }));
  }
  EXPECT_TRUE(support::until([&] { return pool.stats().running == 2; }));
  for (auto& future : futures) future.get();
  EXPECT_EQ(pool.stats().running, 0u);
}
