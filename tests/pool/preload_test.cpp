// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// StartOptions::preload: runs once in the fork server, and the workers share what it has loaded.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cfenv>
#include <chrono>
#include <clocale>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <procpool.hpp>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/failed_pool.hpp"
#include "support/fork_server.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using tasks::square;
using tasks::who_runs;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

std::vector<unsigned char> table;  // filled by the preload, and read by tasks
std::string notes;

void load_table(std::size_t bytes) {
  table.assign(bytes, 7);
  notes += "loaded by " + std::to_string(::getpid());
}
void load_and_note(int number) {
  support::Trace::note(number);
  notes = "loaded " + std::to_string(number);
}
std::string read_notes(int) { return notes; }
// All of it: the worker has all pages in its page table.
pid_t sum_table(int) {
  std::size_t sum = 0;
  for (unsigned char const byte : table) sum += byte;
  return sum == 7 * table.size() ? ::getpid() : -1;
}

procpool::PoolOptions preloading(procpool::BoundCall call, int workers = 2) {
  auto options = support::forkserver(workers);
  options.start.preload = std::move(call);
  options.log = [](std::string_view) {};
  return options;
}

// The part of its memory for which a process accounts: a page that n processes have counts 1/n.
std::uint64_t proportional_bytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string word; file >> word;) {
    std::uint64_t kib = 0;
    if (word == "Pss:" && file >> kib) return kib * 1024;
  }
  return 0;
}

class Preload : public testing::Test {
 protected:
  void SetUp() override {
    if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts a thread of its own";
  }
};

}  // namespace

TEST_F(Preload, RunsOnceAndItsDataAreInEachWorker) {
  support::Trace const trace;
  procpool::ProcessPool pool{preloading(procpool::bound<load_and_note>(3), 4)};
  for (int const key : {0, 1, 2, 3}) {
    EXPECT_EQ(pool.with({.key = key}).call<read_notes>(0), "loaded 3");
  }
  EXPECT_EQ(trace.numbers(), std::vector<std::int64_t>{3});
  auto const stats = pool.stats();
  EXPECT_EQ(stats.submitted, 4u);  // it is no task
  EXPECT_EQ(stats.failed_starts, 0u);
  EXPECT_TRUE(notes.empty());  // it does not run here
}

TEST_F(Preload, ItsMemoryIsShared) {
  if (support::sanitized) GTEST_SKIP() << "the memory of a sanitizer is larger than the table";
  constexpr int workers = 8;
  constexpr std::size_t size = 64 * mebibyte;
  procpool::ProcessPool pool{preloading(procpool::bound<load_table>(size), workers)};
  std::uint64_t sum = 0;
  std::vector<pid_t> pids;
  for (int key = 0; key < workers; ++key) {
    pids.push_back(pool.with({.key = key}).call<sum_table>(0));
  }
  for (pid_t const pid : pids) sum += proportional_bytes(pid);
  // The fork server has a ninth of the table. A worker has some memory of its own.
  EXPECT_GT(sum, size / 2);
  EXPECT_LT(sum, size + workers * 4 * mebibyte);
}

TEST_F(Preload, ComesAheadOfTheInitializer) {
  auto options = preloading(procpool::bound([] { notes = "preload"; }));
  options.start.initializer = procpool::bound([] { notes += ", initializer"; });
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call<read_notes>(0), "preload, initializer");
}

TEST_F(Preload, RunsInAProcessThatRunsNoTask) {
  auto const look = [] {
    notes = std::to_string(procpool::in_worker()) + std::to_string(procpool::worker_index());
    try {
      static_cast<void>(procpool::this_task::index());
    } catch (std::logic_error const&) {
      notes += " no element";
    }
  };
  procpool::ProcessPool pool{preloading(procpool::bound(look))};
  EXPECT_EQ(pool.call<read_notes>(0), "1-1 no element");
}

TEST_F(Preload, ActorsHaveItToo) {
  struct Reader {
    std::string read() { return notes; }
  };
  procpool::ProcessPool pool{preloading(procpool::bound([] { notes = "for all"; }))};
  EXPECT_EQ(pool.actor<Reader>().call<&Reader::read>().get(), "for all");
}

TEST_F(Preload, RunsAgainInTheNextForkServer) {
  support::Trace const trace;
  procpool::ProcessPool pool{preloading(procpool::bound<load_and_note>(1), 1)};
  pid_t const worker = pool.call<who_runs>(0);
  pid_t const first = support::fork_server_pid();
  ::kill(first, SIGKILL);
  ASSERT_TRUE(support::until([&] { return !support::alive(first); }));
  EXPECT_EQ(pool.call<who_runs>(0), worker) << "its workers live on";
  ::kill(worker, SIGKILL);
  ASSERT_TRUE(support::until([&] { return !support::alive(worker); }));
  EXPECT_EQ(pool.with({.retries = {.times = 5}}).call<read_notes>(0), "loaded 1");
  EXPECT_EQ(trace.size(), 2u);
}

// ---- what it leaves behind in its process

// The lines of the signals that are blocked, ignored and handled.
std::string signals_of_worker(int) {
  std::string kept;
  std::istringstream status(support::read_text("/proc/self/status"));
  for (std::string line; std::getline(status, line);) {
    for (char const* const name : {"SigBlk:", "SigIgn:", "SigCgt:"}) {
      if (line.starts_with(name)) kept += line + "\n";
    }
  }
  return kept;
}

void change_signals() {
  sigset_t many;
  sigemptyset(&many);
  for (int const signal : {SIGTERM, SIGCONT, SIGUSR1, SIGRTMAX, SIGRTMIN}) sigaddset(&many, signal);
  ::pthread_sigmask(SIG_BLOCK, &many, nullptr);
  for (int const signal : {SIGPIPE, SIGCHLD, SIGHUP, SIGTTOU}) ::signal(signal, SIG_IGN);
  for (int const signal : {SIGUSR2, SIGTERM, SIGSEGV, SIGRTMIN + 3}) ::signal(signal, [](int) {});
  ::signal(SIGTSTP, SIG_DFL);
  ::signal(SIGABRT, SIG_DFL);
}

TEST_F(Preload, SignalsOfAWorkerAreThoseOfOneWithoutAPreload) {
  procpool::ProcessPool plain{support::forkserver(1)};
  procpool::ProcessPool pool{preloading(procpool::bound<change_signals>(), 1)};
  EXPECT_EQ(pool.call<signals_of_worker>(0), plain.call<signals_of_worker>(0));
  auto const error = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.call([](int) { ::raise(SIGSEGV); }, 0); });
  EXPECT_EQ(error.signal(), SIGSEGV);
  EXPECT_FALSE(error.stack().empty()) << "its crashes are reported";
}

// As of static initialisation: it may be the purpose of the call.
TEST_F(Preload, OtherSettingsOfItsProcessStay) {
  auto const settle = [] {
    ::umask(027);
    if (::chdir("/usr") != 0) throw std::runtime_error("no /usr");
    ::setenv("LOADED", "by the preload", 1);
    std::fesetround(FE_UPWARD);
    static_cast<void>(::nice(3));
    std::setlocale(LC_ALL, "C.UTF-8");
  };
  auto const look = [](int) {
    mode_t const mask = ::umask(0);
    ::umask(mask);
    std::string text = std::to_string(mask) + " " + std::filesystem::current_path().string() + " ";
    text += std::string(::getenv("LOADED")) + " " + std::to_string(std::fegetround() == FE_UPWARD);
    return text + " " + std::setlocale(LC_ALL, nullptr);
  };
  auto const niceness = [](int) { return ::getpriority(PRIO_PROCESS, 0); };
  procpool::ProcessPool plain{support::forkserver(1)};
  procpool::ProcessPool pool{preloading(procpool::bound(settle), 1)};
  EXPECT_EQ(pool.call(look, 0), "23 /usr by the preload 1 C.UTF-8");
  EXPECT_EQ(pool.call(niceness, 0), plain.call(niceness, 0) + 3);
}

// ---- its failures are the pool's

TEST_F(Preload, WhatItThrowsReachesEveryWaiterAsItself) {
  support::Trace const trace;
  auto const fail = [] {
    support::Trace::note(1);
    throw std::out_of_range("no such model");
  };
  procpool::ProcessPool pool{preloading(procpool::bound(fail), 3)};
  support::expect_all_calls_fail<std::out_of_range>(pool, "no such model");
  EXPECT_EQ(trace.size(), 1u);
}

TEST_F(Preload, OneThatEndsItsProcessFailsThePool) {
  procpool::ProcessPool crashes{preloading(procpool::bound([] { ::raise(SIGSEGV); }))};
  auto const crash = support::thrown_by<procpool::SetupError>([&] { crashes.call<square>(1); });
  EXPECT_TRUE(support::says(crash, "was killed by SIGSEGV in its preload"));
  procpool::ProcessPool exits{preloading(procpool::bound([] { std::exit(3); }))};
  auto const exit = support::thrown_by<procpool::SetupError>([&] { exits.call<square>(1); });
  EXPECT_TRUE(support::says(exit, "exited with status 3 in its preload"));
}

TEST_F(Preload, OneThatHangsFailsThePool) {
  auto options = preloading(procpool::bound([] { std::this_thread::sleep_for(10min); }));
  options.start.timeout = support::time_of_a_start;
  procpool::ProcessPool pool{options};
  auto const error = support::thrown_by<procpool::TaskTimeout>([&] { pool.call<square>(1); });
  EXPECT_TRUE(support::says(error, "the preload of pool \"pool\" took longer than "));
}

// By others: it did not fail.
TEST_F(Preload, MayBeKilledByOthers) {
  support::Trace const trace;
  auto const die_three_times = [] {
    support::Trace::note(1);
    if (support::Trace::seen(1) <= 3) ::raise(SIGKILL);
  };
  procpool::ProcessPool pool{preloading(procpool::bound(die_three_times))};
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_EQ(trace.size(), 4u);
}

TEST_F(Preload, AThreadThatItLeavesIsRefusedByName) {
  auto const start_thread = [] {
    std::thread thread([] { std::this_thread::sleep_for(10min); });
    ::pthread_setname_np(thread.native_handle(), "loader");
    thread.detach();
  };
  procpool::ProcessPool pool{preloading(procpool::bound(start_thread))};
  auto const error = support::thrown_by<procpool::SetupError>([&] { pool.call<square>(1); });
  EXPECT_TRUE(support::says(error, "it has left a thread behind: \"loader\""));
  EXPECT_THROW(pool.call<square>(1), procpool::SetupError);
}

TEST_F(Preload, MayUseThreadsThatItJoins) {
  auto const load_in_parallel = [] {
    std::vector<std::thread> threads;
    table.resize(4);
    for (std::size_t i = 0; i < 4; ++i) threads.emplace_back([i] { table[i] = 7; });
    for (std::thread& thread : threads) thread.join();
  };
  procpool::ProcessPool pool{preloading(procpool::bound(load_in_parallel))};
  EXPECT_GT(pool.call<sum_table>(0), 0);
}

TEST_F(Preload, MayForkAChildThatComesBackFromIt) {
  auto const fork_and_return = [] {
    pid_t const child = ::fork();
    notes = child > 0 ? "parent" : "child";
    if (child > 0) ::waitpid(child, nullptr, 0);
  };
  procpool::ProcessPool pool{preloading(procpool::bound(fork_and_return))};
  EXPECT_EQ(pool.call<read_notes>(0), "parent");
}

// ---- the end of the pool and of the program

TEST_F(Preload, ThePoolMayEndWhileItRuns) {
  procpool::ProcessPool pool{
      preloading(procpool::bound([] { std::this_thread::sleep_for(10min); }))};
  auto future = pool.submit<square>(1);
  ASSERT_TRUE(support::until([] { return support::fork_server_pid() != 0; }));
  auto const begin = std::chrono::steady_clock::now();
  pool.terminate();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_THROW(future.get(), procpool::TaskCancelled);
}

TEST_F(Preload, EndsWithTheProgram) {
  support::Trace const trace;
  pid_t const program = ::fork();
  if (program == 0) {
    auto const hang = [] {
      support::Trace::note(::getpid());
      for (;;) ::pause();
    };
    procpool::ProcessPool pool{preloading(procpool::bound(hang))};
    auto future = pool.submit<square>(1);
    future.wait();
    ::_exit(0);
  }
  ASSERT_TRUE(support::until([&] { return trace.size() != 0; }));
  auto const fork_server = static_cast<pid_t>(trace.numbers().front());
  ::kill(program, SIGKILL);
  ::waitpid(program, nullptr, 0);
  EXPECT_TRUE(support::until([&] { return !support::alive(fork_server); }));
}

// ---- options

TEST_F(Preload, WhatItPrintsIsPrintedOnce) {
  testing::internal::CaptureStdout();
  {
    procpool::ProcessPool pool{preloading(procpool::bound([] { std::printf("loaded"); }), 4)};
    for (int const key : {0, 1, 2, 3}) pool.with({.key = key}).call<square>(1);
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "loaded");
}

TEST_F(Preload, TheLimitsOfWorkersDoNotCountIt) {
  if (support::sanitized) GTEST_SKIP() << "the limits are below what a sanitizer needs";
  auto options = preloading(procpool::bound<load_table>(96 * mebibyte), 1);
  options.limits.memory = 64 * mebibyte;
  options.lifetime.recycle_above = 64 * mebibyte;
  procpool::ProcessPool pool{options};
  pid_t const worker = pool.call<sum_table>(0);
  EXPECT_EQ(pool.call<sum_table>(0), worker) << "it was recycled";
  auto const allocate = [](std::size_t size) { return std::string(size, 'x').size(); };
  EXPECT_EQ(pool.call(allocate, 16 * mebibyte), 16 * mebibyte);
  EXPECT_THROW(pool.call(allocate, 128 * mebibyte), std::bad_alloc);
}

TEST_F(Preload, IsRefusedWhereNoWorkerIsForked) {
  auto options = preloading(procpool::bound<load_and_note>(1));
  options.start.method = procpool::Start::spawn;
  auto const error =
      support::thrown_by<std::invalid_argument>([&] { procpool::ProcessPool{options}; });
  EXPECT_TRUE(support::says(error, "needs Start::forkserver"));
}

TEST_F(Preload, IsRefusedWithHandles) {
  procpool::ProcessPool const other{1};
  auto const use = [](procpool::Shared<std::string> const& text) { notes = *text; };
  auto const call = procpool::bound(use, other.share(std::string("text")));
  auto const error =
      support::thrown_by<std::invalid_argument>([&] { procpool::ProcessPool{preloading(call)}; });
  EXPECT_TRUE(support::says(error, "has a handle among its arguments"));
}

TEST_F(Preload, InProcessItIsCalledOnceInThisProcess) {
  support::Trace const trace;
  auto options = preloading(procpool::bound<load_and_note>(5));
  options.start.method = procpool::Start::in_process;
  procpool::ProcessPool pool{options};
  EXPECT_EQ(trace.size(), 0u) << "a pool that only exists has run nothing";
  EXPECT_EQ(pool.call<read_notes>(0), "loaded 5");
  EXPECT_EQ(pool.call<read_notes>(0), "loaded 5");
  EXPECT_EQ(trace.size(), 1u);
  notes.clear();
  options.start.preload = procpool::bound([] { throw std::out_of_range("no such model"); });
  procpool::ProcessPool failing{options};
  EXPECT_THROW(failing.call<square>(1), std::out_of_range);
  EXPECT_THROW(failing.call<square>(1), std::out_of_range);
}
