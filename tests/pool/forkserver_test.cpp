// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Start::forkserver: workers are forked from a fork server, and are what spawned ones are.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/cgroup.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using support::forkserver;

pid_t const initialised_in = ::getpid();
procpool::ProcessPool global{{.workers = 1, .start = {.method = procpool::Start::forkserver}}};

using tasks::counts_up;
using tasks::square;
using tasks::who_runs;
std::uint64_t draw() { return procpool::this_task::random()(); }
std::uint64_t draw_in_global_pool(int) { return global.call<&draw>(); }

struct Ancestry {
  pid_t own = 0, parent = 0, group = 0, initialised_in = 0;
};
Ancestry ancestry(int) { return {::getpid(), ::getppid(), ::getpgrp(), initialised_in}; }

class ForkServerPool : public testing::Test {
 protected:
  void SetUp() override {
    if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts a thread of its own";
  }
};

}  // namespace

TEST_F(ForkServerPool, ForksWorkersFromOneTemplate) {
  procpool::ProcessPool pool{forkserver(3)};
  std::set<pid_t> workers;
  for (int const key : {0, 1, 2, 3, 4, 5}) {
    auto const worker = pool.with({.key = key}).call<ancestry>(key);
    EXPECT_EQ(worker.parent, support::fork_server_pid());
    EXPECT_EQ(worker.initialised_in, support::fork_server_pid());  // static initialisation ran once
    EXPECT_EQ(worker.group, worker.own);
    workers.insert(worker.own);
  }
  EXPECT_EQ(workers.size(), 3u);
  EXPECT_EQ(support::children_of(::getpid()), std::set{support::fork_server_pid()});
  EXPECT_EQ(support::threads_of(support::fork_server_pid()), 1u);
}

TEST_F(ForkServerPool, WorkersShareNoState) {
  procpool::ProcessPool pool{forkserver(2)};
  for (int const key : {0, 1}) {
    for (int i = 1; i <= 3; ++i) EXPECT_EQ(pool.with({.key = key}).call<counts_up>(key), i);
  }
}

TEST_F(ForkServerPool, TellsHowAWorkerEnded) {
  procpool::ProcessPool pool{forkserver(2)};
  for (int const signal : {SIGSEGV, SIGKILL, SIGABRT, SIGTERM}) {
    auto const error = support::thrown_by<procpool::WorkerDied>(
        [&] { pool.call([](int number) { ::raise(number); }, signal); });
    EXPECT_EQ(error.signal(), signal);
  }
  auto const error =
      support::thrown_by<procpool::WorkerDied>([&] { pool.call([] { ::_exit(7); }); });
  EXPECT_EQ(error.exit_status(), 7);
  EXPECT_EQ(pool.call<square>(5), 25);
  EXPECT_EQ(pool.stats().worker_deaths, 5u);
}

TEST_F(ForkServerPool, ACrashCostsTheElementThatRan) {
  procpool::ProcessPool pool{forkserver(2)};
  auto const dies_at_times = [](int x) {
    if (x % 50 == 13) ::raise(SIGSEGV);
    return x;
  };
  auto const outcomes = pool.outcomes().map(dies_at_times, std::views::iota(0, 300));
  for (int i = 0; i < 300; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i % 50 == 13) {
      EXPECT_THROW(outcome.value(), procpool::WorkerDied);
    } else {
      EXPECT_EQ(outcome.value(), i);
    }
  }
}

// ---- what a worker is like

namespace {

struct State {
  std::vector<int> signals;  // that are not at their default
  int blocked = 0;
  int death_signal = 0;
  std::multiset<std::string> descriptors;
  std::vector<std::string> environment;
  rlim_t core = 1;
  std::string directory;
};

State state(int) {
  State all;
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) {
      all.signals.push_back(signal);
    }
  }
  sigset_t set;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &set);
  for (int signal = 1; signal < SIGRTMAX; ++signal) {
    all.blocked += ::sigismember(&set, signal) == 1;
  }
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    all.descriptors.insert(target.substr(0, target.find('[')));
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    all.environment.emplace_back(*variable);
  }
  std::ranges::sort(all.environment);
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  all.core = core.rlim_cur;
  return all;
}

int death_signal(int) {
  int signal = -1;
  ::prctl(PR_GET_PDEATHSIG, &signal);
  return signal;
}

}  // namespace

TEST_F(ForkServerPool, AWorkerHasWhatASpawnedOneHas) {
  procpool::ProcessPool spawned{2};
  procpool::ProcessPool forked{forkserver(2)};
  State const one = spawned.call<state>(0);
  for (int const key : {0, 1}) {
    State const other = forked.with({.key = key}).call<state>(0);
    EXPECT_EQ(other.signals, one.signals);
    EXPECT_EQ(other.blocked, one.blocked);
    EXPECT_EQ(other.descriptors, one.descriptors);
    EXPECT_EQ(other.environment, one.environment);
    EXPECT_EQ(other.core, one.core);
    // The fork server is not the program.
    EXPECT_EQ(forked.with({.key = key}).call<death_signal>(0), 0);
  }
}

TEST_F(ForkServerPool, TheProcessListShowsIt) {
  auto options = forkserver(1);
  options.name = "solver";
  procpool::ProcessPool pool{options};
  pid_t const worker = pool.call<who_runs>(0);
  EXPECT_EQ(support::read_text(support::proc(worker, "comm")), "solver/0\n");
  EXPECT_EQ(support::read_text(support::proc(support::fork_server_pid(), "comm")),
            "solv/forkserver\n");
  auto const command_line = support::read_text(support::proc(worker, "cmdline"));
  EXPECT_NE(command_line.find("[solver/0] "), std::string::npos) << command_line;
  EXPECT_EQ(command_line.find("forkserver"), std::string::npos) << command_line;
}

// Static initialisation has made it in the fork server, for every worker.
TEST_F(ForkServerPool, AGlobalPoolWorksInEachWorkerAndIsItsOwn) {
  procpool::ProcessPool pool{forkserver(3)};
  std::set<std::uint64_t> drawn;
  for (int const key : {0, 1, 2}) {
    drawn.insert(pool.with({.key = key}).call<draw_in_global_pool>(key));
  }
  EXPECT_EQ(drawn.size(), 3u);
}

TEST_F(ForkServerPool, MayBeNested) {
  procpool::ProcessPool pool{forkserver(2)};
  EXPECT_EQ(pool.call(
                [](int x) {
                  procpool::ProcessPool inner{forkserver(2)};
                  return inner.call<square>(x) + inner.call<square>(x);
                },
                3),
            18);
}

// ---- options

TEST_F(ForkServerPool, KeepsTheOptionsOfItsWorkers) {
  auto options = forkserver(1);
  if (!support::sanitized) options.limits.memory = 256u << 20;
  options.limits.open_files = 64;
  options.placement.nice = 2;
  options.harden = true;
  options.start.environment = {{"TEST_ADDED", "yes"}};
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call([](int) { return ::getpriority(PRIO_PROCESS, 0); }, 0),
            ::getpriority(PRIO_PROCESS, 0) + 2);
  EXPECT_EQ(pool.call([](int) { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }, 0), 1);
  EXPECT_EQ(pool.call([](int) { return std::string(std::getenv("TEST_ADDED")); }, 0), "yes");
  EXPECT_EQ(pool.call(
                [](int) {
                  rlimit files{};
                  ::getrlimit(RLIMIT_NOFILE, &files);
                  return files.rlim_cur;
                },
                0),
            64u);
  if (support::sanitized) return;
  EXPECT_THROW(pool.call([](std::size_t size) { return std::string(size, 'x').size(); },
                         std::size_t{512} << 20),
               std::bad_alloc);
}

TEST_F(ForkServerPool, CapturesOutput) {
  auto options = forkserver(2);
  options.output.mode = procpool::Output::capture;
  procpool::ProcessPool pool{options};
  for (int i = 0; i < 6; ++i) {
    auto future = pool.submit(
        [](int x) {
          std::printf("printed %d\n", x);
          if (x == 3) ::raise(SIGKILL);
          return x;
        },
        i);
    future.wait();
    EXPECT_EQ(future.output(), "printed " + std::to_string(i) + "\n");
  }
}

namespace {

int prepared_number = 0;
void prepare_number(int number) { prepared_number = number; }
void prepare_badly() { throw std::out_of_range("not today"); }

}  // namespace

TEST_F(ForkServerPool, RunsTheInitializerInEachWorker) {
  auto options = forkserver(3);
  options.start.initializer = procpool::bound<prepare_number>(7);
  {
    procpool::ProcessPool pool{options};
    for (int const key : {0, 1, 2}) {
      EXPECT_EQ(pool.with({.key = key}).call([](int) { return prepared_number; }, 0), 7);
    }
  }
  options.start.initializer = procpool::bound<prepare_badly>();
  procpool::ProcessPool pool{options};
  EXPECT_THROW(pool.call<square>(1), std::out_of_range);
}

TEST_F(ForkServerPool, GivesEachElementAProcessIfAsked) {
  auto options = forkserver(2);
  options.lifetime.max_tasks = 1;
  procpool::ProcessPool pool{options};
  auto const pids = pool.map<who_runs>(std::views::iota(0, 50));
  EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), 50u);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
  EXPECT_EQ(pool.stats().failed_starts, 0u);
}

TEST_F(ForkServerPool, AWorkerLivesInItsControlGroup) {
  auto options = forkserver(2);
  options.placement.cgroup = support::cgroup_folder();
  if (options.placement.cgroup.empty())
    GTEST_SKIP() << "no control group of version 2 may be made here";
  procpool::ProcessPool pool{options};
  std::set<std::string> groups;
  for (int const key : {0, 1}) {
    groups.insert(pool.with({.key = key})
                      .call([](int) { return support::read_text("/proc/self/cgroup"); }, 0));
  }
  EXPECT_EQ(groups.size(), 2u);
  EXPECT_FALSE(groups.contains(support::read_text("/proc/self/cgroup")));
}

TEST_F(ForkServerPool, EndsWhatOverrunsWithItsGroup) {
  procpool::ProcessPool pool{forkserver(1)};
  EXPECT_THROW(pool.with({.timeout = 50ms})
                   .call(
                       [](int) {
                         for (;;) ::pause();
                       },
                       0),
               procpool::TaskTimeout);
  pid_t const worker = pool.call<who_runs>(0);
  pid_t const child = pool.call(
      [](int) {
        pid_t const pid = ::fork();
        if (pid == 0) {
          for (;;) ::pause();
        }
        return pid;
      },
      0);
  ASSERT_TRUE(support::alive(child));
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(support::until([&] { return !support::alive(child); }, 5s));
}

// ---- programs

TEST_F(ForkServerPool, RefusesAProgramWithAThreadAndSpawns) {
  EXPECT_TRUE(support::succeeds("thread_at_start"));
}

TEST_F(ForkServerPool, DoesNotDoubleWhatStaticInitialisationPrinted) {
  support::Program program(support::program_path("prints_at_start"));
  ASSERT_TRUE(program.wait());
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  EXPECT_EQ(program.output(), "initialised\nalso here\n");
}

// As many attempts as with workers that do not start, and the reason of the last.
TEST_F(ForkServerPool, ThatDoesNotStartFailsThePool) {
  EXPECT_TRUE(support::succeeds("aborts_at_start", {"forkserver"}));
  EXPECT_TRUE(support::succeeds("sleeps_at_start", {"forkserver"}));
}
