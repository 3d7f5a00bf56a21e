// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The fork server of Start::forkserver may be killed or stopped at any moment: no task is lost,
// nothing hangs, and nothing is left of it.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <mutex>
#include <numeric>
#include <procpool.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using support::fork_server_pid;
using support::forkserver;

using tasks::square;
using tasks::who_runs;
int square_slowly(int x) {
  std::this_thread::sleep_for(2ms);
  return x * x;
}
pid_t noted_for_a_while(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(300ms);
  return ::getpid();
}
int segfault(int x) { return x + ::raise(SIGSEGV); }

class AForkServer : public testing::Test {
 protected:
  void SetUp() override {
    if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts a thread of its own";
  }
  procpool::PoolOptions options(int workers) {
    auto options = forkserver(workers);
    options.log = [this](std::string_view line) {
      std::lock_guard const lock(mutex_);
      log_ += std::string(line) + "\n";
    };
    return options;
  }
  std::string log() {
    std::lock_guard const lock(mutex_);
    return log_;
  }

 private:
  std::mutex mutex_;
  std::string log_;
};

testing::AssertionResult no_child_is_left() {
  auto const children = support::children_of(::getpid());
  if (!children.empty()) return testing::AssertionFailure() << children.size() << " children";
  if (::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD) {
    return testing::AssertionFailure() << "something to wait for";
  }
  return testing::AssertionSuccess();
}

pid_t other_fork_server(pid_t former) {
  pid_t found = 0;
  support::until([&] {
    found = fork_server_pid();
    return found != 0 && found != former;
  });
  return found;
}

}  // namespace

TEST_F(AForkServer, IsGoneWithThePool) {
  for (int i = 0; i < support::rounds(30, 5); ++i) {
    {
      procpool::ProcessPool pool{forkserver(2)};
      EXPECT_EQ(pool.call<square>(i), i * i);
      if (i % 3 == 1) {
        EXPECT_THROW(pool.call<segfault>(1), procpool::WorkerDied);
      }
      if (i % 3 == 2) pool.terminate();
    }
    EXPECT_TRUE(no_child_is_left());
  }
}

TEST_F(AForkServer, KilledWhileWorkRunsLosesNoTaskAndNoWorker) {
  {
    procpool::ProcessPool pool{options(2)};
    std::set<pid_t> workers;
    for (int const key : {0, 1}) workers.insert(pool.with({.key = key}).call<who_runs>(0));
    std::vector<int> inputs(200);
    std::iota(inputs.begin(), inputs.end(), 0);
    auto results = pool.with({.chunk = 4}).map_async<square_slowly>(inputs);
    pid_t const killed = fork_server_pid();
    ::kill(killed, SIGKILL);
    auto const values = results.get();
    for (int const i : inputs) EXPECT_EQ(values[static_cast<std::size_t>(i)], i * i);
    EXPECT_EQ(pool.stats().worker_deaths, 0u);
    for (int const key : {0, 1}) {
      EXPECT_TRUE(workers.contains(pool.with({.key = key}).call<who_runs>(0)));
    }
    EXPECT_TRUE(
        support::until([&] { return log().find("its workers go on") != std::string::npos; }));
    EXPECT_NE(log().find(std::to_string(killed)), std::string::npos) << log();

    // Orphaned workers are blamed as ever, and a new fork server replaces them.
    EXPECT_THROW(pool.call<segfault>(1), procpool::WorkerDied);
    EXPECT_THROW(pool.call<segfault>(1), procpool::WorkerDied);
    EXPECT_EQ(pool.with({.key = 0}).call<square>(3), 9);
    EXPECT_EQ(pool.with({.key = 1}).call<square>(3), 9);
    EXPECT_NE(other_fork_server(killed), 0);
  }
  EXPECT_TRUE(no_child_is_left());
}

// To the kernel their groups are orphans from then on, to which, if they are stopped, it sends
// SIGHUP.
TEST_F(AForkServer, KilledSparesWorkersThatAreStopped) {
  support::Trace const trace;
  procpool::ProcessPool pool{options(2)};
  std::vector<procpool::Future<pid_t>> futures;
  for (int i = 0; i < 2; ++i) futures.push_back(pool.submit<noted_for_a_while>(i));
  ASSERT_TRUE(support::until([&] { return trace.counts().size() == 2; }));
  pid_t const former = fork_server_pid();
  ASSERT_NE(former, 0);
  auto const workers = pool.worker_stats();
  for (auto const& worker : workers) ::kill(worker.pid, SIGSTOP);
  ::kill(former, SIGKILL);
  ASSERT_TRUE(support::until([&] { return !support::alive(former); }));
  for (auto const& worker : workers) ::kill(worker.pid, SIGCONT);
  for (auto& future : futures) EXPECT_NO_THROW(future.get());
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST_F(AForkServer, KilledAgainAndAgainWhileWorkersAreReplaced) {
  {
    auto given = options(2);
    given.lifetime.max_tasks = 1;
    procpool::ProcessPool pool{given};
    std::vector<int> inputs(static_cast<std::size_t>(support::rounds(300, 60)));
    std::iota(inputs.begin(), inputs.end(), 0);
    auto results = pool.map_async<square_slowly>(inputs);
    for (int i = 0; i < 5; ++i) {
      pid_t const pid = fork_server_pid();
      if (pid != 0) ::kill(pid, SIGKILL);
      std::this_thread::sleep_for(20ms);
    }
    auto const values = results.get();
    for (int const i : inputs) EXPECT_EQ(values[static_cast<std::size_t>(i)], i * i);
  }
  EXPECT_TRUE(no_child_is_left());
}

TEST_F(AForkServer, KilledBeforeItsFirstWord) {
  for (int i = 0; i < support::rounds(20, 5); ++i) {
    procpool::ProcessPool pool{options(2)};
    auto future = pool.submit<square>(4);
    pid_t pid = 0;
    support::until([&] { return (pid = fork_server_pid()) != 0 || future.ready(); });
    if (pid != 0) ::kill(pid, SIGKILL);
    EXPECT_EQ(future.get(), 16);
    EXPECT_EQ(pool.call<square>(5), 25);
  }
  EXPECT_TRUE(no_child_is_left());
}

TEST_F(AForkServer, KilledWheneverThereIsOne) {
  {
    auto given = options(2);
    given.lifetime.max_tasks = 1;
    procpool::ProcessPool pool{given};
    std::jthread const killer([](std::stop_token stop) {
      while (!stop.stop_requested()) {
        if (pid_t const pid = fork_server_pid(); pid != 0) ::kill(pid, SIGKILL);
      }
    });
    for (int i = 0; i < support::rounds(30, 10); ++i) EXPECT_EQ(pool.call<square>(i), i * i);
  }
  EXPECT_TRUE(no_child_is_left());
}

TEST_F(AForkServer, StoppedHangsNobody) {
  {
    procpool::ProcessPool pool{options(2)};
    for (int const key : {0, 1}) pool.with({.key = key}).call<square>(1);
    pid_t const stopped = fork_server_pid();
    ::kill(stopped, SIGSTOP);
    support::Stopwatch const watch;
    // A status that nobody fetches, and a fork that nobody handles.
    EXPECT_THROW(pool.call<segfault>(1), procpool::WorkerDied);
    for (int const key : {0, 1}) EXPECT_EQ(pool.with({.key = key}).call<square>(3), 9);
    EXPECT_LT(watch.passed(), 10s);
    EXPECT_FALSE(support::alive(stopped));
    EXPECT_NE(log().find("does not answer"), std::string::npos) << log();
  }
  EXPECT_TRUE(no_child_is_left());
}

TEST_F(AForkServer, StoppedDoesNotHoldThePoolsEndUp) {
  support::Stopwatch const watch;
  {
    procpool::ProcessPool pool{options(2)};
    for (int const key : {0, 1}) pool.with({.key = key}).call<square>(1);
    ::kill(fork_server_pid(), SIGSTOP);
  }
  EXPECT_LT(watch.passed(), 10s);
  EXPECT_TRUE(no_child_is_left());
}

// A stopped worker is nobody's to continue but the pool's, whoever its parent is.
TEST_F(AForkServer, KilledLeavesWorkersThatThePoolStillEnds) {
  pid_t worker = 0;
  {
    procpool::ProcessPool pool{options(1)};
    worker = pool.call<who_runs>(0);
    ::kill(fork_server_pid(), SIGKILL);
    EXPECT_THROW(pool.with({.timeout = 100ms})
                     .call(
                         [](int) {
                           for (;;) ::pause();
                         },
                         0),
                 procpool::TaskTimeout);
    EXPECT_FALSE(support::alive(worker));
    worker = pool.call<who_runs>(0);
  }
  EXPECT_FALSE(support::alive(worker));
  EXPECT_TRUE(no_child_is_left());
}

namespace {

// A child stops and continues this process, whose watch then finds that its descriptors are gone.
int lose_descriptors(int x) {
  ::close_range(0, ~0u, 0);
  pid_t const own = ::getpid();
  pid_t const child = ::fork();
  if (child == 0) {
    ::kill(own, SIGSTOP);
    support::until([own] { return support::stat_of(own).state == 'T'; });
    ::kill(own, SIGCONT);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  std::this_thread::sleep_for(250ms);  // more than one look of the watch
  return x + 1;
}

}  // namespace

// Without descriptors a forked worker finds the program by its number, and not by whose child it
// is.
TEST_F(AForkServer, WorkersWithoutDescriptorsGoOnAndEnd) {
  pid_t worker = 0;
  {
    procpool::ProcessPool pool{options(1)};
    for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.call<lose_descriptors>(i), i + 1);
    worker = pool.call<who_runs>(0);
  }
  EXPECT_FALSE(support::alive(worker));
  EXPECT_TRUE(no_child_is_left());
}

TEST_F(AForkServer, AThousandReplacementsLeaveNothing) {
  {
    procpool::ProcessPool pool{options(2)};
    auto const replace = [&](int times) {
      for (int i = 0; i < times; ++i) EXPECT_THROW(pool.call<segfault>(1), procpool::WorkerDied);
      for (int const key : {0, 1}) EXPECT_EQ(pool.with({.key = key}).call<square>(3), 9);
    };
    replace(10);
    pid_t const pid = fork_server_pid();
    auto const own = support::descriptors_of(::getpid()).size();
    auto const of_fork_server = support::descriptors_of(pid);
    replace(support::rounds(1000, 50));
    EXPECT_EQ(fork_server_pid(), pid);
    EXPECT_EQ(support::descriptors_of(::getpid()).size(), own);
    EXPECT_EQ(support::descriptors_of(pid), of_fork_server);
    EXPECT_TRUE(support::until([&] { return support::children_of(pid).size() == 2; }));
    EXPECT_EQ(support::children_of(::getpid()), std::set{pid});
    std::istringstream lines(log());
    for (std::string line; std::getline(lines, line);) {
      bool const of_a_death = line.find("was killed by SIGSEGV while it had task") != line.npos ||
                              line.find("more workers have died") != line.npos;
      EXPECT_TRUE(of_a_death) << line;
    }
  }
  EXPECT_TRUE(no_child_is_left());
}
