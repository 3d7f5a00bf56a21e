// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers that are stopped while they have something to do: by the terminal, by themselves, by
// others, by who traces them. Each goes on, or ends with a reason that says so, or is somebody's on
// purpose.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <mutex>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::Start;
using procpool::WorkerDied;

namespace {

// Far more than it takes: that it comes to an end at all is the point.
using support::patience;

using tasks::square;
using tasks::who;

int stop_by(int signal) {
  ::raise(signal);
  return signal;
}
int stop_by_default(int signal) {
  ::signal(signal, SIG_DFL);
  ::raise(signal);
  return signal;
}

int note_and_wait(std::string const& gate) {
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  support::Trace::note(::getpid());
  support::wait_at(gate);
  return 1;
}

// As libraries do that will not be debugged.
int traced_crash(int) {
  ::ptrace(PTRACE_TRACEME, 0, 0, 0);
  ::raise(SIGSEGV);
  return 0;
}
int traced_signal(int) {
  ::ptrace(PTRACE_TRACEME, 0, 0, 0);
  ::raise(SIGUSR1);
  return 0;
}
int traced_exec(int) {
  ::ptrace(PTRACE_TRACEME, 0, 0, 0);
  ::execl("/bin/true", "true", nullptr);
  return 0;
}
int traced_thread(int) {
  std::thread([] {
    ::ptrace(PTRACE_TRACEME, 0, 0, 0);
    ::raise(SIGUSR1);
  }).join();
  return 0;
}

class Log {
 public:
  void add(std::string_view line) {
    std::lock_guard const lock(mutex_);
    text_ += std::string(line) + "\n";
  }
  std::string text() const {
    std::lock_guard const lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

procpool::PoolOptions options(Start start, Log& log, int workers = 1) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.method = start;
  options.log = [&log](std::string_view line) { log.add(line); };
  return options;
}

std::string ways(Start start) { return start == Start::spawn ? "spawned" : "forked"; }

WorkerDied death_of_stopped(procpool::ProcessPool& pool, procpool::Future<int>& future) {
  if (!future.wait_for(patience)) {
    pool.terminate();
    throw std::logic_error("it is not over");
  }
  return support::thrown_by<WorkerDied>([&] { future.get(); });
}

constexpr auto every_start = {Start::spawn, Start::forkserver};

}  // namespace

TEST(Stopped, ByNothingThatATerminalDoes) {
  EXPECT_TRUE(support::succeeds("at_a_terminal"));
  EXPECT_TRUE(support::succeeds("at_a_terminal", {"forkserver"}));
}

TEST(Stopped, WhoStopsItselfIsContinued) {
  for (Start const start : every_start) {
    SCOPED_TRACE(ways(start));
    Log log;
    procpool::ProcessPool pool{options(start, log)};
    auto future = pool.submit(stop_by, SIGSTOP);
    bool const over = future.wait_for(patience);
    if (!over) pool.terminate();
    ASSERT_TRUE(over);
    EXPECT_EQ(future.get(), SIGSTOP);
    EXPECT_NE(
        log.text().find("was stopped by SIGSTOP while it had something to do, and was continued"),
        std::string::npos)
        << log.text();
    EXPECT_EQ(pool.stats().worker_starts, 1u);
  }
}

TEST(Stopped, WhoWasIdleIsContinuedWhenItIsGivenSomething) {
  Log log;
  procpool::ProcessPool pool{options(Start::spawn, log)};
  pid_t const pid = pool.call(who);
  ::kill(pid, SIGSTOP);
  ASSERT_TRUE(support::until([&] { return support::stat_of(pid).state == 'T'; }));
  auto future = pool.submit(who);
  bool const over = future.wait_for(patience);
  if (!over) pool.terminate();
  ASSERT_TRUE(over);
  EXPECT_EQ(future.get(), pid);
}

// What is revoked while its worker is stopped leaves nothing to do but to acknowledge that. Nothing
// else is put until the worker has.
TEST(Stopped, WhoWasIdleIsContinuedWhenItsElementIsRevoked) {
  for (Start const start : every_start) {
    for (std::string const way : {"cancel", "stop", "queue_timeout", "pause"}) {
      SCOPED_TRACE(ways(start) + ", " + way);
      Log log;
      procpool::ProcessPool pool{options(start, log)};
      pid_t const pid = pool.call(who);
      ::kill(pid, SIGSTOP);
      ASSERT_TRUE(support::until([&] { return support::stat_of(pid).state == 'T'; }));
      std::uint64_t const records = pool.stats().records;
      procpool::CallOptions call;
      if (way == "queue_timeout") call.queue_timeout = 1ms;
      auto revoked = pool.with(call).submit(who);
      ASSERT_TRUE(support::until([&] { return pool.stats().records > records; }));
      if (way == "cancel") revoked.cancel();
      if (way == "stop") revoked.request_stop();
      if (way == "pause") pool.pause();
      if (way != "pause") revoked.wait();
      pool.resume();
      auto future = pool.submit(who);
      bool const over = future.wait_for(patience);
      if (!over) pool.terminate();
      ASSERT_TRUE(over);
      EXPECT_EQ(future.get(), pid);
    }
  }
}

// Its next element would stop it again.
TEST(Stopped, ByTheTerminalAfterAllItEndsAndSaysSo) {
  Log log;
  // In a session of its own, as a forked worker, the system does not let the terminal stop anybody.
  procpool::ProcessPool pool{options(Start::spawn, log, 2)};
  auto write = pool.submit(stop_by_default, SIGTTOU);
  auto read = pool.submit(stop_by_default, SIGTTIN);
  EXPECT_TRUE(support::says(death_of_stopped(pool, write), "stopped by SIGTTOU"));
  EXPECT_TRUE(support::says(death_of_stopped(pool, read), "stopped by SIGTTIN"));
  EXPECT_EQ(pool.call(stop_by, SIGTTOU), SIGTTOU);
}

TEST(Stopped, WhoIsTracedByUsEndsAndSaysSo) {
  for (Start const start : every_start) {
    SCOPED_TRACE(ways(start));
    Log log;
    struct Kind {
      int (*task)(int);
      char const* text;
      procpool::Future<int> future{};
    };
    std::array<Kind, 4> kinds{{{traced_crash, "stopped by SIGSEGV"},
                               {traced_signal, "stopped by SIGUSR1"},
                               {traced_exec, "stopped by SIGTRAP"},
                               {traced_thread, "stopped by SIGUSR1"}}};
    procpool::ProcessPool pool{options(start, log, 4)};
    for (Kind& kind : kinds) kind.future = pool.submit(kind.task, 0);
    for (Kind& kind : kinds) {
      auto const died = death_of_stopped(pool, kind.future);
      EXPECT_TRUE(support::says(died, kind.text));
      EXPECT_TRUE(support::says(died, "PTRACE_TRACEME"));
    }
    EXPECT_EQ(pool.call(square, 7), 49);
  }
}

// It holds the worker for longer than any other stop lasts, and then lets it go on.
TEST(Stopped, ADebuggerMayTakeItsTime) {
  support::Trace trace;
  support::Gate const gate;
  Log log;
  procpool::ProcessPool pool{options(Start::spawn, log)};
  auto future = pool.submit(note_and_wait, gate.path());
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  auto const worker = static_cast<pid_t>(trace.numbers().front());
  pid_t const debugger = ::fork();
  if (debugger == 0) {
    if (::ptrace(PTRACE_SEIZE, worker, 0, 0) != 0) ::_exit(2);
    ::ptrace(PTRACE_INTERRUPT, worker, 0, 0);
    ::waitpid(worker, nullptr, __WALL);
    timespec const pause{2, 500'000'000};
    ::nanosleep(&pause, nullptr);
    ::_exit(::ptrace(PTRACE_DETACH, worker, 0, 0) == 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(debugger, &status, 0);
  gate.open();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
    future.get();
    GTEST_SKIP() << "the system does not let processes be traced";
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(future.get(), 1);
  std::string const text = log.text();
  auto const told = text.find("which traces it; it is waited for");
  EXPECT_NE(told, std::string::npos) << text;
  EXPECT_EQ(text.find("which traces it", told + 1), std::string::npos) << "once: " << text;
  EXPECT_EQ(pool.stats().worker_starts, 1u);
}
