// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A task that makes a pool of its own.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <procpool.hpp>
#include <ranges>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using tasks::square;

int sum_of_nested_squares(int n) {
  procpool::ProcessPool pool{2};
  int sum = 0;
  for (int const x : pool.map<square>(std::views::iota(0, n))) sum += x;
  return sum;
}

// Each level makes a pool for the next.
int nesting_depth(int levels) {
  if (levels == 0) return 0;
  procpool::ProcessPool pool{1};
  return 1 + pool.call<nesting_depth>(levels - 1);
}

void pause_nested() {
  support::Trace::note(::getpid());
  for (;;) ::pause();
}

// An inner pool whose workers, and theirs, never end by themselves.
void tree(int levels) {
  support::Trace::note(::getpid());
  procpool::ProcessPool pool{2};
  auto const never = pool.submit<pause_nested>();
  if (levels == 0) {
    pool.call<pause_nested>();
  } else {
    pool.call<tree>(levels - 1);
  }
}

// outer, its pausing inner worker, its inner worker with a pool, and two in that one.
constexpr std::size_t tree_size = 5;

bool all_pids_gone(std::vector<std::int64_t> const& pids) {
  for (auto const pid : pids) {
    if (support::alive(static_cast<pid_t>(pid))) return false;
  }
  return true;
}

}  // namespace

TEST(Nesting, TaskThatMakesAPool) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map<sum_of_nested_squares>(std::vector{3, 4, 5, 10}),
            (std::vector{5, 14, 30, 285}));
}

TEST(Nesting, ThreeDeep) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<nesting_depth>(3), 3);
}

TEST(Nesting, InnerWorkersKnowTheirPlace) {
  procpool::ProcessPool pool{1};
  auto const inner_parent = [] {
    procpool::ProcessPool inner{1};
    return inner.call([] { return ::getppid(); }) == ::getpid();
  };
  EXPECT_TRUE(pool.call(inner_parent));
}

TEST(Nesting, CrashOfAnInnerWorkerStaysInside) {
  procpool::ProcessPool pool{1};
  auto const outer = [] {
    procpool::ProcessPool inner{1};
    try {
      inner.call([] { ::raise(SIGSEGV); });
    } catch (procpool::WorkerDied const&) {
      return 1 + inner.call([] { return 1; });
    }
    return 0;
  };
  EXPECT_EQ(pool.call(outer), 2);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Nesting, KilledOuterWorkerTakesTheTreeAlong) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  auto future = pool.submit<tree>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == tree_size; }, 40s));
  auto const pids = trace.numbers();
  ::kill(static_cast<pid_t>(pids.front()), SIGKILL);
  EXPECT_THROW(future.get(), procpool::WorkerDied);
  EXPECT_TRUE(support::until([&] { return all_pids_gone(pids); }, 3s));
}

TEST(Nesting, TerminateTakesTheTreeAlong) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  auto future = pool.submit<tree>(1);
  ASSERT_TRUE(support::until([&] { return trace.size() == tree_size; }, 40s));
  auto const pids = trace.numbers();
  pool.terminate();
  EXPECT_THROW(future.get(), procpool::TaskCancelled);
  EXPECT_TRUE(support::until([&] { return all_pids_gone(pids); }, 3s));
}
