// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// SIGTERM to all processes of a program, as a service manager stops it: with
// ShutdownOptions::ignore_sigterm what runs is finished, and everything that the pool itself ends still
// ends.

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <procpool.hpp>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

int notes_and_squares(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(300ms);
  return x * x;
}
int squares(int x) { return x * x; }
int hangs(int x) {
  support::Trace::note(x);
  for (;;) ::pause();
}
int signal_that_ends_a_child() {
  int const status = std::system("kill -TERM $$");
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void terminate_all_workers() {
  for (pid_t const child : support::children_of(::getpid())) {
    for (pid_t const grandchild : support::children_of(child)) ::kill(grandchild, SIGTERM);
    ::kill(child, SIGTERM);
  }
}

class Sigterm : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::PoolOptions options(bool ignored) const {
    procpool::PoolOptions made;
    made.workers = 2;
    made.start.method = GetParam();
    made.shutdown.ignore_sigterm = ignored;
    return made;
  }
};

}  // namespace

TEST_P(Sigterm, ToAllProcessesLetsWhatRunsBeFinished) {
  support::Trace const trace;
  procpool::ProcessPool pool{options(true)};
  auto results = pool.map_async<notes_and_squares>(std::vector<int>{1, 2, 3, 4});
  ASSERT_TRUE(support::until([&] { return trace.size() >= 2; }));
  terminate_all_workers();
  pool.close();
  pool.join();
  EXPECT_EQ(results.get(), (std::vector<int>{1, 4, 9, 16}));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST_P(Sigterm, EndsWhatRunsOtherwise) {
  support::Trace const trace;
  procpool::ProcessPool pool{options(false)};
  auto future = pool.submit<hangs>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  // Not the fork server, which tells how they end.
  for (auto const& worker : pool.worker_stats()) {
    if (worker.pid != 0) ::kill(worker.pid, SIGTERM);
  }
  EXPECT_EQ(support::thrown_by<procpool::WorkerDied>([&] { future.get(); }).signal(), SIGTERM);
}

TEST_P(Sigterm, IsIgnoredByWorkersThatAreStillStarting) {
  std::atomic<bool> over{false};
  std::jthread const sender([&over] {
    while (!over.load()) terminate_all_workers();
  });
  for (int round = 0; round < support::rounds(10, 3); ++round) {
    procpool::ProcessPool pool{options(true)};
    EXPECT_EQ(pool.map<squares>(std::vector<int>{1, 2, 3}), (std::vector<int>{1, 4, 9}));
    EXPECT_EQ(pool.stats().failed_starts, 0u);
    EXPECT_EQ(pool.stats().worker_deaths, 0u);
  }
  over = true;
}

TEST_P(Sigterm, OfThePoolsOwnStillEndsWhatOverrunsAndChildrenHaveTheDefault) {
  support::Trace const trace;
  procpool::ProcessPool pool{options(true)};
  EXPECT_THROW(pool.with({.timeout = 50ms}).call<hangs>(1), procpool::TaskTimeout);
  auto future = pool.submit<hangs>(2);
  ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
  EXPECT_EQ(pool.call<signal_that_ends_a_child>(), SIGTERM);
}

INSTANTIATE_TEST_SUITE_P(Starts, Sigterm,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         [](auto const& start) {
                           return start.param == procpool::Start::spawn ? "Spawn" : "Forkserver";
                         });
