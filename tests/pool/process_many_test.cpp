// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Many processes of their own: at once, one after the other, from many threads, from tasks, from a
// forked child, at the limit of descriptors; and what is left of them.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/descriptors.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/gate.hpp"
#include "support/in_child.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Process;
using procpool::ProcessOptions;
using procpool::Start;
using procpool::start_process;
using tasks::nothing;
using tasks::square;
using tasks::who;

int square_in_a_process(int x) { return start_process<square>(x).get(); }
int nested(int levels) { return levels == 0 ? 0 : 1 + start_process<nested>(levels - 1).get(); }

// Many that look again and again would keep each other from running.
bool sleep_until_asked() {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  auto const token = procpool::this_task::stop_token();
  changed.wait(lock, token, [] { return false; });
  return token.stop_requested();
}

void note_and_wait_at(std::string const& gate) {
  support::Trace::note(::getpid());
  support::wait_at(gate);
}

// The hidden pool has ended, and its thread with it.
bool pool_has_ended() {
  return support::until([] {
    for (pid_t const thread : support::numbers_in("/proc/self/task")) {
      std::string const task = "/proc/self/task/" + std::to_string(thread);
      if (support::read_text(task + "/comm") == "procpool\n") return false;
    }
    return true;
  });
}

class ProcessesAtOnce : public testing::TestWithParam<Start> {};

}  // namespace

TEST_P(ProcessesAtOnce, FiveHundred) {
  // At its end each sanitized process is stopped while its memory is searched for leaks.
  constexpr int count = support::sanitized ? 20 : 500;
  ProcessOptions const options{.start = GetParam()};
  std::vector<Process<bool>> processes;
  std::set<pid_t> pids;
  for (int i = 0; i < count; ++i) {
    processes.push_back(start_process<sleep_until_asked>(options));
    pids.insert(processes.back().pid());
  }
  EXPECT_EQ(pids.size(), processes.size());
  for (auto const& process : processes) EXPECT_TRUE(process.alive());
  for (auto& process : processes) process.request_stop();
  for (auto& process : processes) {
    EXPECT_TRUE(process.get());
    process.join();
    EXPECT_EQ(process.exit_status(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessesAtOnce, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(Processes, FromManyThreads) {
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        ProcessOptions const options{.start = i % 2 == 0 ? Start::spawn : Start::forkserver};
        Process process{options, square, 10 * t + i};
        if (i % 5 == 4) process.request_stop();
        if (process.get() == (10 * t + i) * (10 * t + i)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
}

TEST(Processes, OneIsJoinedAndAskedByManyThreads) {
  support::Gate gate;
  auto const process = start_process<support::wait_at>(gate.path());
  std::vector<std::thread> threads;
  std::atomic<int> joined{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (process.alive()) static_cast<void>(process.join_for(1ms));
      process.join();
      if (process.exit_status() == 0) ++joined;
    });
  }
  gate.open();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(joined, 4);
}

TEST(Processes, InTasks) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map<square_in_a_process>(std::vector{1, 2, 3, 4}), (std::vector{1, 4, 9, 16}));
}

TEST(Processes, InProcesses) { EXPECT_EQ(start_process<nested>(3).get(), 3); }

TEST(Processes, AreNestedOnlySoDeep) {
  auto const error =
      support::thrown_by<procpool::SetupError>([] { start_process<nested>(20).get(); });
  EXPECT_TRUE(support::says(error, "nesting_limit"));
}

TEST(Processes, OfAForkedChild) {
  start_process<nothing>().join();
  support::Gate gate;
  std::optional<Process<void>> mine(start_process<support::wait_at>(gate.path()));
  EXPECT_EQ(support::in_child([&] {
              for (int i = 0; i < 3; ++i) {
                if (start_process<square>(i).get() != i * i) throw std::runtime_error("wrong");
              }
            }),
            'v');
  EXPECT_EQ(support::in_child([&] { static_cast<void>(mine->pid()); }), 'S');
  EXPECT_EQ(support::in_child([&] { mine->join(); }), 'S');
  EXPECT_EQ(support::in_child([&] { mine->kill(); }), 'S');
  EXPECT_EQ(support::in_child([&] { mine->get(); }), 'S');
  EXPECT_EQ(support::in_child([&] { mine.reset(); }), 'v');
  EXPECT_TRUE(mine->alive());
  gate.open();
  mine->join();
  EXPECT_EQ(mine->exit_status(), 0);
}

TEST(Processes, LeaveNothing) {
  start_process<nothing>().join();
  ASSERT_TRUE(pool_has_ended());
  auto const before = support::open_resources();
  {
    support::Gate const gate;
    for (int i = 0; i < 20; ++i) {
      ProcessOptions const options{.start = i % 2 == 0 ? Start::spawn : Start::forkserver};
      if (i % 5 == 0) {
        Process process{options, support::wait_at, gate.path()};
        process.kill();
        process.join();
        EXPECT_THROW(process.get(), procpool::WorkerDied);
      } else {
        Process process{options, square, i};
        process.join();
        EXPECT_EQ(process.get(), i * i);
      }
    }
  }
  ASSERT_TRUE(pool_has_ended());
  auto const after = support::open_resources();
  EXPECT_EQ(after.descriptors, before.descriptors) << after;
  EXPECT_EQ(after.children, before.children) << after;
}

TEST(Processes, ShareOneThreadAndTakeThreeDescriptorsEach) {
  support::Gate gate;
  auto const first = start_process<support::wait_at>(gate.path());
  auto const before = support::open_resources();
  std::vector<Process<void>> processes;
  for (int i = 0; i < 10; ++i) {
    processes.push_back(start_process<support::wait_at>(gate.path()));
  }
  // The worker's ends are closed when its first word has come.
  EXPECT_TRUE(support::until([&] {
    return support::open_resources().descriptors <= before.descriptors + 30;
  })) << support::open_resources();
  EXPECT_TRUE(support::until([&] { return support::open_resources().threads <= before.threads; }))
      << support::open_resources();
  gate.open();
}

// After the pool has ended by itself.
TEST(Processes, BeginAgain) {
  start_process<nothing>().join();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pool_has_ended());
    EXPECT_EQ(start_process<square>(i).get(), i * i);
  }
}

// A fork server that is killed costs no process its result.
TEST(Processes, OutliveTheirForkServer) {
  if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts a thread of its own";
  support::Gate gate;
  support::Trace trace;
  ProcessOptions const options{
      .start = Start::forkserver,
      .environment = {{support::Trace::variable, std::getenv(support::Trace::variable)}}};
  auto first = start_process<note_and_wait_at>(options, gate.path());
  ASSERT_TRUE(support::until([&] { return trace.size() == 1; }));
  pid_t const server = support::fork_server_pid();
  ASSERT_NE(server, 0);
  ::kill(server, SIGKILL);
  EXPECT_EQ((Process{options, square, 3}.get()), 9);
  gate.open();
  EXPECT_NO_THROW(first.get());
  first.join();
}

TEST(Processes, AtTheLimitOfDescriptorsFailWithASentence) {
  EXPECT_TRUE(support::succeeds("few_descriptors_for_processes"));
}
