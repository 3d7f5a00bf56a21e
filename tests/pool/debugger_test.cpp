// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PROCPOOL_WAIT_FOR_DEBUGGER: a worker waits ahead of the named function until somebody traces it,
// and no time limit counts meanwhile. The test is the debugger.

#include <gtest/gtest.h>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <procpool.hpp>
#include <string>
#include <thread>

#include "support/processes.hpp"
#include "support/until.hpp"

namespace to_debug {

int answer(int n) { return n + 40; }

}  // namespace to_debug

namespace {

using namespace std::chrono_literals;

pid_t own_pid() { return ::getpid(); }

int sleep_for_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

class DebuggerTest : public testing::Test {
 protected:
  static void wait_in(char const* function) { ::setenv("PROCPOOL_WAIT_FOR_DEBUGGER", function, 1); }
  void TearDown() override { ::unsetenv("PROCPOOL_WAIT_FOR_DEBUGGER"); }

  // As gdb does: attaches, stops it, and lets it go on.
  static void trace(pid_t pid) {
    ASSERT_EQ(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), 0);
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, __WALL), pid);
    ASSERT_EQ(::ptrace(PTRACE_CONT, pid, nullptr, nullptr), 0);
  }
  static void let_go(pid_t pid) {
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, __WALL), pid);
    ASSERT_EQ(::ptrace(PTRACE_DETACH, pid, nullptr, nullptr), 0);
  }
};

TEST_F(DebuggerTest, AWorkerWaitsAndNoTimeoutCounts) {
  wait_in("answer");
  procpool::ProcessPool pool{1};
  auto const pid = pool.call<own_pid>();  // another function runs
  auto future = pool.with({.timeout = 100ms}).submit<to_debug::answer>(2);
  EXPECT_FALSE(future.wait_for(700ms));
  EXPECT_TRUE(support::alive(pid));
  trace(pid);
  EXPECT_EQ(future.get(), 42);
  EXPECT_EQ(pool.with({.timeout = 10ms}).call<sleep_for_ms>(300), 300);
  let_go(pid);
  EXPECT_EQ(pool.call<own_pid>(), pid);
  EXPECT_EQ(pool.call<to_debug::answer>(3), 43);  // once in each worker
}

TEST_F(DebuggerTest, ItSaysHowToAttach) {
  wait_in("to_debug::answer");
  procpool::ProcessPool pool{{.workers = 1, .output = {.mode = procpool::Output::capture}}};
  auto const pid = pool.call<own_pid>();
  auto future = pool.submit<to_debug::answer>(2);
  EXPECT_FALSE(future.wait_for(300ms));
  trace(pid);
  future.wait();
  auto const expected = "worker 0 (process " + std::to_string(pid) +
                        ") waits for a debugger before it runs to_debug::answer: gdb -p " +
                        std::to_string(pid) + "\n";
  EXPECT_NE(future.output().find(expected), std::string::npos) << future.output();
  EXPECT_EQ(future.get(), 42);
  let_go(pid);
}

TEST_F(DebuggerTest, OnlyTheNamedFunctionWaits) {
  wait_in("nswer");
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<to_debug::answer>(2), 42);
}

// The program ends as always, and its worker with it.
TEST_F(DebuggerTest, AWorkerThatWaitsCanBeEnded) {
  wait_in("*");
  procpool::ProcessPool pool{1};
  auto future = pool.submit<to_debug::answer>(2);
  EXPECT_TRUE(support::until([&] { return pool.worker_stats()[0].running.has_value(); }));
  EXPECT_FALSE(future.wait_for(300ms));
  EXPECT_EQ(future.cancel(), procpool::Cancel::ended);
  EXPECT_THROW(future.get(), procpool::TaskCancelled);
}

}  // namespace
