// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers killed from outside at any time: while they are idle, while they run, while a large
// result leaves them or a large argument arrives, and by other workers.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t large_argument = std::size_t{64} << 20;

using tasks::who;
pid_t slow_who() {
  std::this_thread::sleep_for(30ms);
  return ::getpid();
}
int note_and_sleep_seconds(int seconds) {
  support::Trace::note(::getpid());
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  return seconds;
}
std::string make_much(char fill) { return std::string(large_argument, fill); }
std::size_t count_of(std::string const& text, char wanted) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), wanted));
}
int kill_process(pid_t victim) { return ::kill(victim, SIGKILL); }

pid_t noted_pid(support::Trace const& trace, std::size_t index) {
  EXPECT_TRUE(support::until([&] { return trace.size() > index; }));
  return static_cast<pid_t>(trace.numbers().at(index));
}

}  // namespace

TEST(Killed, WhileIdle) {
  procpool::ProcessPool pool{1};
  int const count = support::rounds(50, 10);
  for (int i = 0; i < count; ++i) {
    pid_t const pid = pool.call<who>();
    ASSERT_TRUE(support::until([&] { return support::asleep(pid); }));
    ::kill(pid, SIGKILL);
    // At once, so that it meets a pool that has not heard of the death; it had not begun, and runs.
    EXPECT_NE(pool.call<who>(), pid);
  }
  EXPECT_EQ(pool.stats().worker_deaths, static_cast<std::uint64_t>(count));
}

// Nobody asks for anything: no worker is needed, and so none is started.
TEST(Killed, WhileIdleAndNotMissed) {
  procpool::ProcessPool pool{1};
  pid_t const pid = pool.call<who>();
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(support::until([&] { return pool.stats().worker_deaths == 1; }));
  EXPECT_EQ(pool.stats().workers, 0u);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
  EXPECT_NE(pool.call<who>(), pid);
  EXPECT_EQ(pool.stats().worker_starts, 2u);
}

TEST(Killed, WhileRunning) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  for (std::size_t i = 0; i < 5; ++i) {
    auto running = pool.submit<note_and_sleep_seconds>(60);
    pid_t const pid = noted_pid(trace, i);
    ::kill(pid, SIGKILL);
    auto const died = support::thrown_by<procpool::WorkerDied>([&] { running.get(); });
    EXPECT_EQ(died.signal(), SIGKILL);
    EXPECT_EQ(died.pid(), pid);
    EXPECT_EQ(died.element(), 0u);
  }
  EXPECT_NE(pool.call<who>(), 0);
}

TEST(Killed, BySignalsThatCanBeCaught) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::size_t index = 0;
  for (int const signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGALRM}) {
    auto running = pool.submit<note_and_sleep_seconds>(60);
    ::kill(noted_pid(trace, index++), signal);
    auto const died = support::thrown_by<procpool::WorkerDied>([&] { running.get(); });
    EXPECT_EQ(died.signal(), signal);
  }
}

// An element that waits behind the running one is not blamed.
TEST(Killed, WhileOthersWaitBehindIt) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  pool.call<who>();
  auto running = pool.submit<note_and_sleep_seconds>(60);
  std::vector<procpool::Future<pid_t>> behind;
  for (int i = 0; i < 10; ++i) behind.push_back(pool.submit<who>());
  ::kill(noted_pid(trace, 0), SIGKILL);
  EXPECT_THROW(running.get(), procpool::WorkerDied);
  for (auto& future : behind) EXPECT_GT(future.get(), 0);
}

TEST(Killed, InTheMiddleOfALargeResult) {
  procpool::ProcessPool pool{1};
  int lost = 0;
  for (int i = 0; i < support::rounds(12, 4); ++i) {
    pid_t const pid = pool.call<who>();
    char const fill = static_cast<char>('a' + i);
    auto future = pool.submit<make_much>(fill);
    // The memory in which the result is to travel exists in the worker while it is filled and sent.
    ASSERT_TRUE(support::until([&] {
      return support::holds(pid, "procpool message") || !support::alive(pid) || future.ready();
    }));
    std::this_thread::sleep_for(std::chrono::microseconds(1500 * i));
    ::kill(pid, SIGKILL);
    try {
      std::string const result = future.get();
      EXPECT_EQ(result.size(), large_argument);
      EXPECT_EQ(count_of(result, fill), large_argument);
    } catch (procpool::WorkerDied const& died) {
      EXPECT_EQ(died.signal(), SIGKILL);
      EXPECT_EQ(died.pid(), pid);
      ++lost;
    }
    EXPECT_NE(pool.call<who>(), pid);
  }
  EXPECT_GT(lost, 0);
  std::string const result = pool.call<make_much>('z');
  EXPECT_EQ(count_of(result, 'z'), large_argument);
}

TEST(Killed, InTheMiddleOfALargeArgument) {
  procpool::ProcessPool pool{1};
  std::string const much(large_argument, 'm');
  int lost = 0;
  int const rounds = support::rounds(12, 4);
  for (int i = 0; i < rounds; ++i) {
    pid_t const pid = pool.call<who>();
    auto future = pool.submit<count_of>(much, 'm');
    ASSERT_TRUE(support::until([&] {
      return support::maps(pid, "procpool message") || !support::alive(pid) || future.ready();
    }));
    // Its pages are entered first, which takes a while too.
    std::this_thread::sleep_for(std::chrono::milliseconds(40) * i / rounds);
    ::kill(pid, SIGKILL);
    try {
      EXPECT_EQ(future.get(), large_argument);
    } catch (procpool::WorkerDied const& died) {
      EXPECT_EQ(died.signal(), SIGKILL);
      ++lost;
    }
    EXPECT_NE(pool.call<who>(), pid);
  }
  EXPECT_GT(lost, 0);
  EXPECT_EQ(pool.call<count_of>(much, 'm'), large_argument);
}

// Killed before it can have looked at its inbox: the argument goes to another.
TEST(Killed, BeforeALargeArgumentIsTaken) {
  procpool::ProcessPool pool{1};
  std::string const much(large_argument, 'm');
  for (int i = 0; i < support::rounds(5, 2); ++i) {
    pid_t const pid = pool.call<who>();
    ASSERT_TRUE(support::until([&] { return support::asleep(pid); }));
    ::kill(pid, SIGSTOP);
    auto future = pool.submit<count_of>(much, 'm');
    EXPECT_FALSE(future.wait_for(50ms));
    ::kill(pid, SIGKILL);
    EXPECT_EQ(future.get(), large_argument);
  }
}

TEST(Killed, ByAnotherWorker) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  for (std::size_t i = 0; i < 5; ++i) {
    auto victim = pool.submit<note_and_sleep_seconds>(60);
    pid_t const pid = noted_pid(trace, i);
    EXPECT_EQ(pool.call<kill_process>(pid), 0);
    auto const died = support::thrown_by<procpool::WorkerDied>([&] { victim.get(); });
    EXPECT_EQ(died.signal(), SIGKILL);
    EXPECT_EQ(died.pid(), pid);
  }
}

// A task that kills every process of its worker's group kills its worker and nobody else.
TEST(Killed, WithItsWholeGroup) {
  procpool::ProcessPool pool{2};
  EXPECT_THROW(pool.call([] { ::kill(0, SIGKILL); }), procpool::WorkerDied);
  EXPECT_GT(pool.call<slow_who>(), 0);
}

// Stopped, not dead: its work is lost only when it is killed, and others go on meanwhile.
TEST(Stopped, WorkerGoesOnWhereItWas) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto stopped = pool.submit<note_and_sleep_seconds>(1);
  pid_t const pid = noted_pid(trace, 0);
  ::kill(pid, SIGSTOP);
  for (int i = 0; i < 5; ++i) EXPECT_NE(pool.call<who>(), pid);
  ::kill(pid, SIGCONT);
  EXPECT_EQ(stopped.get(), 1);
}

// Other workers do the elements that a stopped worker has not begun.
TEST(Stopped, WorkerDoesNotKeepWhatItHasNotBegun) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto stopped = pool.submit<note_and_sleep_seconds>(1);
  pid_t const pid = noted_pid(trace, 0);
  ::kill(pid, SIGSTOP);
  std::vector<procpool::Future<pid_t>> others;
  for (int i = 0; i < 100; ++i) others.push_back(pool.submit<who>());
  for (auto& future : others) {
    ASSERT_TRUE(future.wait_for(20s));
    EXPECT_NE(future.get(), pid);
  }
  ::kill(pid, SIGCONT);
  EXPECT_EQ(stopped.get(), 1);
}

TEST(Stopped, WorkerDoesNotHoldUpTerminate) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  auto running = pool.submit<note_and_sleep_seconds>(60);
  pid_t const busy = noted_pid(trace, 0);
  pid_t const idle = pool.call<who>();
  ::kill(busy, SIGSTOP);
  ::kill(idle, SIGSTOP);
  support::Stopwatch watch;
  pool.terminate();
  EXPECT_LT(watch.passed(), 20s);
  EXPECT_THROW(running.get(), procpool::TaskCancelled);
  EXPECT_FALSE(support::alive(busy));
  EXPECT_FALSE(support::alive(idle));
}
