// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Tasks that fork: a child that comes back out of the task, and children that stay.

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

// Returns in two processes.
pid_t fork_and_return(int x) {
  support::Trace::note(x);
  return ::fork();
}

int fork_and_throw(int x) {
  ::fork();
  throw x;
}

pid_t leave_a_child() {
  pid_t const child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  return child;
}

pid_t leave_a_child_and_crash() {
  pid_t const child = leave_a_child();
  support::Trace::note(child);
  ::raise(SIGSEGV);
  return child;
}

using tasks::who;

}  // namespace

TEST(Fork, TaskThatReturnsTwiceHasOneValue) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 10}) {
    trace.clear();
    auto const children = pool.with({.chunk = chunk}).map<fork_and_return>(std::views::iota(0, 30));
    ASSERT_EQ(children.size(), 30u);
    for (pid_t const child : children) {
      EXPECT_GT(child, 0);  // what the parent of the two returned
      EXPECT_TRUE(support::until([&] { return !support::alive(child); })) << child;
    }
    EXPECT_EQ(trace.size(), 30u);
    EXPECT_EQ(trace.counts().size(), 30u);
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Fork, TaskThatThrowsTwiceHasOneError) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 10; ++i) EXPECT_THROW(pool.call<fork_and_throw>(i), procpool::RemoteError);
  EXPECT_GT(pool.call<who>(), 0);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Fork, ChildOfATaskEndsWithThePool) {
  std::vector<pid_t> children;
  {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < 4; ++i) children.push_back(pool.call<leave_a_child>());
    for (pid_t const child : children) EXPECT_TRUE(support::alive(child));
  }
  for (pid_t const child : children) {
    EXPECT_TRUE(support::until([&] { return !support::alive(child); }, 2s)) << child;
  }
}

TEST(Fork, ChildOfATaskEndsWithAKilledWorker) {
  procpool::ProcessPool pool{1};
  pid_t const child = pool.call<leave_a_child>();
  ::kill(pool.call<who>(), SIGKILL);
  EXPECT_TRUE(support::until([&] { return !support::alive(child); }, 2s));
  EXPECT_GT(pool.call<who>(), 0);
}

TEST(Fork, ChildOfATaskEndsWithACrash) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.call<leave_a_child_and_crash>(), procpool::WorkerDied);
  auto const noted = trace.numbers();
  ASSERT_EQ(noted.size(), 1u);
  EXPECT_TRUE(
      support::until([&] { return !support::alive(static_cast<pid_t>(noted.front())); }, 2s));
}

TEST(Fork, ChildOfATaskEndsWithATerminatedPool) {
  procpool::ProcessPool pool{1};
  pid_t const child = pool.call<leave_a_child>();
  pool.terminate();
  EXPECT_TRUE(support::until([&] { return !support::alive(child); }, 2s));
}
