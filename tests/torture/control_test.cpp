// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Eight threads use one pool at random, while another changes the number of its workers, the pool
// replaces workers by itself, and chaos kills and stops them; in the end it is ended in some way,
// mostly with the eight still at it. Every call ends with what it may end with; what each element
// really did, in whatever worker, is held against that.

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <procpool.hpp>
#include <random>
#include <thread>
#include <vector>

#include "support/seed.hpp"
#include "support/trace.hpp"
#include "torture/client.hpp"
#include "torture/stress.hpp"

namespace {

class Control : public torture::Stress {
 protected:
  static constexpr std::size_t clients = 8;

  bool one_in(unsigned count) { return random_() % count == 0; }

  procpool::PoolOptions some_options() {
    auto given = options(1 + static_cast<int>(random_() % 4));
    if (one_in(3)) given.lifetime.max_tasks = 1 + random_() % 50;
    if (one_in(3)) given.lifetime.idle_timeout = std::chrono::milliseconds(1 + random_() % 50);
    if (one_in(3)) given.lifetime.recycle_after = std::chrono::milliseconds(50 + random_() % 200);
    if (one_in(4)) given.queue_limit = 50 + random_() % 500;
    if (one_in(4)) given.output.mode = procpool::Output::capture;
    if (one_in(4)) {
      given.harden = true;
      given.start.environment[support::Trace::variable] = std::getenv(support::Trace::variable);
    }
    return given;
  }

  // One pool for a second or two.
  void round(std::uint64_t number) {
    SCOPED_TRACE("round " + std::to_string(number));
    support::Trace trace;
    auto const given = some_options();
    procpool::ProcessPool pool{given};
    support::Watchdog watchdog(&pool);
    // If nobody kills workers, none dies, and no element has a death as its reason.
    auto kinds = everything();
    kinds.kills = !one_in(3);
    kinds.fork_servers = kinds.fork_servers && kinds.kills;
    torture::Common common{pool, watchdog};
    common.kills = kinds.kills;
    std::vector<std::unique_ptr<torture::Client>> threads_of;
    for (std::size_t i = 0; i < clients; ++i) {
      threads_of.push_back(std::make_unique<torture::Client>(common, random_()));
    }
    support::Chaos chaos(support::chaos_name(), random_(), kinds);
    chaos.rest(!kinds.kills && one_in(2));
    {
      std::vector<std::jthread> threads;
      for (auto& client : threads_of) threads.emplace_back([&client] { client->run(); });
      auto const end = std::chrono::steady_clock::now() + length();
      while (std::chrono::steady_clock::now() < end && !HasFailure()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5 + random_() % 50));
        pool.resize(1 + static_cast<int>(random_() % 6));
        ++score_.resizes;
        auto const stats = pool.stats();
        EXPECT_EQ(stats.queued + stats.running + stats.done, stats.submitted);
      }
      if (one_in(4)) {
        common.over = true;
      } else {
        common.ending = true;
        support::Watchdog::Wait const wait(watchdog, "the pool's end");
        switch (random_() % 3) {
          case 0: pool.shutdown(procpool::End::drain); break;
          case 1: pool.shutdown(procpool::End::cancel); break;
          case 2: pool.terminate(); break;
        }
      }
    }
    common.ending = true;
    {
      support::Watchdog::Wait const wait(watchdog, "the pool's end, with nobody at it");
      pool.join();
    }
    add(pool, chaos.stop());
    look_at(threads_of, trace.counts());
  }

  void look_at(std::vector<std::unique_ptr<torture::Client>> const& threads_of,
               std::map<std::int64_t, int> const& begun) {
    for (auto const& client : threads_of) {
      torture::Account const& account = client->account();
      score_.cancelled += account.cancelled;
      score_.deadlines += account.deadlines;
      score_.asked += account.asked;
      score_.died += account.died;
      for (torture::Known const& known : account.known) {
        auto const found = begun.find(known.id);
        int const count = found == begun.end() ? 0 : found->second;
        EXPECT_GE(count, known.least) << "deed " << known.id << " has a value and never ran";
        EXPECT_LE(count, known.most) << "deed " << known.id << " was begun too often";
      }
    }
  }

  std::mt19937 random_;

 private:
  static std::chrono::milliseconds length() {
    return std::min(std::chrono::milliseconds(1'500), support::duration());
  }
};

}  // namespace

TEST_P(Control, FromEightThreadsAtRandom) {
  random_.seed(support::new_seed());
  for (std::uint64_t number = 0; !time_is_over() && !HasFailure(); ++number) round(number);
  EXPECT_GT(score_.tasks, 0u);
}

INSTANTIATE_TEST_SUITE_P(Start, Control, torture::each_start());
