// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Stress: what the torture scenarios share: a pool of either start method under chaos, a watchdog,
// a count of what was done, and a look at whether anything is left of it.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <procpool.hpp>
#include <set>
#include <string>

#include "support/build.hpp"
#include "support/chaos.hpp"
#include "support/descriptors.hpp"
#include "support/duration.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"
#include "support/watchdog.hpp"

namespace torture {

// In elements, of whole scenarios.
struct Score {
  std::uint64_t tasks = 0;  // submitted, and ended
  std::uint64_t cancelled = 0;
  std::uint64_t deadlines = 0;  // hit
  std::uint64_t asked = 0;      // to stop, and returned
  std::uint64_t died = 0;       // ended with WorkerDied
  std::uint64_t retries = 0;
  std::uint64_t starts = 0;  // of workers
  std::uint64_t resizes = 0;
  std::uint64_t pools = 0;
  support::Chaos::Damage damage;
};

// A line that scripts/torture adds up.
inline std::ostream& operator<<(std::ostream& out, Score const& score) {
  return out << "torture: tasks=" << score.tasks << " cancelled=" << score.cancelled
             << " deadlines=" << score.deadlines << " asked=" << score.asked
             << " died=" << score.died << " retries=" << score.retries << " starts=" << score.starts
             << " resizes=" << score.resizes << " pools=" << score.pools
             << " kills=" << score.damage.kills << " stops=" << score.damage.stops
             << " template_kills=" << score.damage.fork_server_kills
             << " template_stops=" << score.damage.fork_server_stops;
}

// How workers are started; ctest calls the tests by it.
struct How {
  procpool::Start start;
};
inline std::ostream& operator<<(std::ostream& out, How how) {
  return out << (how.start == procpool::Start::spawn ? "spawn" : "forkserver");
}
inline auto each_start() {
  return testing::Values(How{procpool::Start::spawn}, How{procpool::Start::forkserver});
}

class Stress : public testing::TestWithParam<How> {
 protected:
  void SetUp() override {
    {
      procpool::ProcessPool const pool{options(2)};  // what is made once and kept
    }
    {
      procpool::ProcessPool pool{options(2)};
      EXPECT_EQ(pool.call([](int x) { return x + 1; }, 1), 2);
      EXPECT_EQ(pool.submit([] { return 1; }).then([](int x) { return x + 1; }).get(), 2);
    }
    before_ = support::open_resources();
    names_ = support::shared_memory_names();
    end_ = Clock::now() + support::duration();
  }

  void TearDown() override {
    expect_nothing_left();
    std::cout << score_ << ", " << support::resident_kib() << " KiB resident" << std::endl;
  }

  procpool::PoolOptions options(int workers) const {
    procpool::PoolOptions options;
    options.workers = workers;
    options.name = support::chaos_name();
    options.start.method = GetParam().start;
    options.log = [](std::string_view) {};  // of fork servers that died, mostly
    return options;
  }

  // Everything that this start method has.
  support::Chaos::Kinds everything() const {
    return {.kills = true,
            .stops = true,
            .fork_servers =
                GetParam().start == procpool::Start::forkserver && !support::thread_sanitized};
  }

  bool time_is_over() const { return Clock::now() >= end_; }

  // Of a pool for which nothing is under way any more.
  void add(procpool::ProcessPool const& pool, support::Chaos::Damage const& damage) {
    auto const stats = pool.stats();
    EXPECT_EQ(stats.done, stats.submitted);
    EXPECT_EQ(stats.queued, 0u);
    EXPECT_EQ(stats.running, 0u);
    // A worker may have been dead already, or asked to leave.
    EXPECT_LE(stats.worker_deaths, damage.kills + damage.fork_server_kills);
    score_.tasks += stats.submitted;
    score_.retries += stats.retries;
    score_.starts += stats.worker_starts;
    score_.damage += damage;
    ++score_.pools;
  }

  Score score_;

 private:
  using Clock = std::chrono::steady_clock;

  void expect_nothing_left() const {
    std::string const mark = "[" + support::chaos_name() + "/";
    auto const processes = [&mark] {
      std::size_t found = 0;
      for (pid_t const pid : support::numbers_in("/proc")) {
        if (support::read_text(support::proc(pid, "cmdline")).find(mark) != std::string::npos) {
          ++found;
        }
      }
      return found;
    };
    // Workers whose fork server was killed have somebody else for a parent, who may take a moment.
    EXPECT_TRUE(support::until([&] { return processes() == 0; }, std::chrono::seconds(2)))
        << processes() << " processes";
    auto const after = support::open_resources();
    EXPECT_EQ(after.descriptors, before_.descriptors);
    EXPECT_LE(after.threads, before_.threads + (support::sanitized ? 1 : 0));
    // The heaps of the allocator, of the threads that were here.
    EXPECT_LE(after.mappings, before_.mappings + (support::sanitized ? 200 : 40));
    EXPECT_EQ(after.children, 0u);
    EXPECT_EQ(support::shared_memory_names(), names_);
  }

  support::Resources before_;
  std::set<std::string> names_;
  Clock::time_point end_;
};

}  // namespace torture
