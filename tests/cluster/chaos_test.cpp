// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers are killed at random, hosts are cut off, and messages come late, twice and in any order.
// Every element has exactly one outcome, and every value is right.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <procpool.hpp>
#include <random>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/fake_cluster.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using support::FakeCluster;
using tasks::numbers;

constexpr std::size_t chaotic_hosts = 5;
constexpr int chaotic_kills = 40;
constexpr int chaotic_inputs = 300;

// A short while, and now and then its worker dies of itself.
int squared_or_dead(int x) {
  auto random = procpool::this_task::random();
  if (random() % 400 == 0) ::raise(SIGKILL);
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
  return x * x;
}

// Kills workers one by one. Two hosts are cut off in between.
class Killer {
 public:
  Killer(procpool::ProcessPool const& pool, support::LinkFaults& faults)
      : thread_([this, &pool, &faults] { work(pool, faults); }) {}
  Killer(Killer const&) = delete;
  Killer& operator=(Killer const&) = delete;
  ~Killer() { thread_.join(); }
  bool over() const { return over_; }

 private:
  void work(procpool::ProcessPool const& pool, support::LinkFaults& faults) {
    std::mt19937 random(11);
    for (int kills = 0; kills < chaotic_kills;) {
      auto const places = pool.worker_stats();
      auto const& place = places[random() % places.size()];
      // It is a child of this process, so another process has its number at the earliest when the engine has
      // seen its end; it runs an element as of the last beat.
      if (place.running && place.pid > 0 && ::kill(place.pid, SIGKILL) == 0) ++kills;
      if (kills == chaotic_kills / 3) faults.cut = 1u << 1;
      if (kills == 2 * chaotic_kills / 3) faults.cut = 1u << 1 | 1u << 3;
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
    }
    over_ = true;
  }

  std::atomic<bool> over_{false};
  std::thread thread_;
};

struct Counts {
  std::size_t values = 0;
  std::size_t died = 0;
  std::size_t lost = 0;
};

Counts run_in_chaos(procpool::cluster::OnLost on_lost) {
  auto options = FakeCluster::quick();
  options.beat = 20ms;
  options.lost_after = 1s;
  options.on_host_lost = on_lost;
  FakeCluster cluster(chaotic_hosts, options);
  cluster.faults.twice = true;
  cluster.faults.disorder = true;
  cluster.faults.delay_us = 300;
  auto pool = cluster.pool({.log = [](std::string_view) {}});
  pool.start().get();
  Counts counts;
  std::uint64_t submitted = 0;
  {
    Killer const killer(pool, cluster.faults);
    do {
      std::vector<int> outcomes_of(chaotic_inputs);
      for (auto [index, outcome] :
           pool.outcomes().imap_unordered<squared_or_dead>(numbers(chaotic_inputs))) {
        ++outcomes_of.at(index);
        if (outcome.has_value()) {
          EXPECT_EQ(*outcome, static_cast<int>(index * index));
          ++counts.values;
        } else if (outcome.error().kind() == procpool::FailureKind::died) {
          ++counts.died;
        } else {
          EXPECT_EQ(outcome.error().kind(), procpool::FailureKind::host_lost)
              << support::text_of(outcome);
          ++counts.lost;
        }
      }
      EXPECT_EQ(outcomes_of, std::vector<int>(chaotic_inputs, 1));
      submitted += chaotic_inputs;
    } while (!killer.over() && pool.size() != 0);
  }
  auto const stats = pool.stats();
  EXPECT_GE(stats.submitted, submitted);
  EXPECT_EQ(stats.done, stats.submitted);
  EXPECT_EQ(counts.values + counts.died + counts.lost, submitted);
  return counts;
}

}  // namespace

TEST(ClusterChaos, EveryElementHasExactlyOneOutcome) {
  Counts const counts = run_in_chaos(procpool::cluster::OnLost::fail);
  EXPECT_GT(counts.values, 0u);
  EXPECT_GT(counts.died, 0u);
}

TEST(ClusterChaos, ElementsOfLostHostsRunAgainAndHaveOneOutcome) {
  Counts const counts = run_in_chaos(procpool::cluster::OnLost::again);
  EXPECT_GT(counts.values, 0u);
  EXPECT_GT(counts.died, 0u);
}
