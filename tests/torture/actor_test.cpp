// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The process of an actor is killed at random while several threads call it. With a checkpoint of
// each outcome, the object has exactly what was answered.

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <procpool.hpp>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/duration.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Counts by caller, and has some weight.
struct Ledger {
  std::vector<std::uint64_t> counts{};
  std::string weight{};

  std::uint64_t count(std::size_t caller) {
    if (counts.size() <= caller) counts.resize(caller + 1);
    return ++counts[caller];
  }
  std::vector<std::uint64_t> all() const { return counts; }
};

class TortureActor : public testing::TestWithParam<procpool::Start> {};

}  // namespace

TEST_P(TortureActor, WhatWasAnsweredIsNotForgotten) {
  constexpr std::size_t callers = 3;
  constexpr std::size_t together = 20;
  procpool::ProcessPool pool{
      {.workers = 1, .start = {.method = GetParam()}, .log = [](std::string_view) {}}};
  auto actor = pool.actor<Ledger>({.restarts = 1'000'000, .checkpoint_every = 1},
                                  std::vector<std::uint64_t>(), std::string(5'000, 'x'));
  std::vector<std::uint64_t> answered(callers);
  std::atomic<std::uint64_t> died{0};
  std::atomic<bool> over{false};
  {
    std::vector<std::jthread> threads;
    for (std::size_t caller = 0; caller < callers; ++caller) {
      threads.emplace_back([&, caller] {
        while (!over) {
          std::vector<procpool::Future<std::uint64_t>> calls;
          for (std::size_t i = 0; i < together; ++i) {
            calls.push_back(actor.call<&Ledger::count>(caller));
          }
          for (auto& call : calls) {
            try {
              // Each answer counts the one before, whatever died between.
              std::uint64_t const count = call.get();
              ASSERT_EQ(count, ++answered[caller]);
            } catch (procpool::WorkerDied const&) {
              ++died;
            }
          }
        }
      });
    }
    std::mt19937 random(support::new_seed());
    std::uint64_t kills = 0;
    int const slower = support::sanitized ? 10 : 1;
    for (auto const end = Clock::now() + support::duration(); Clock::now() < end; ++kills) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2 + random() % 19) * slower);
      ::kill(actor.pid(), SIGKILL);
    }
    over = true;
    std::cout << kills << " kills" << std::endl;
  }
  auto const counts = actor.call<&Ledger::all>().get();
  std::uint64_t sum = 0;
  for (std::size_t caller = 0; caller < counts.size(); ++caller) {
    EXPECT_EQ(counts[caller], answered[caller]);
    sum += counts[caller];
  }
  EXPECT_GT(actor.incarnation(), 1u);
  EXPECT_GT(sum, 0u);
  EXPECT_LE(died, actor.incarnation());
  std::cout << sum << " answered, " << died << " died, " << actor.incarnation() << " incarnations"
            << std::endl;
}

INSTANTIATE_TEST_SUITE_P(Each, TortureActor,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         [](auto const& test) {
                           return test.param == procpool::Start::spawn ? "Spawned" : "Forked";
                         });
