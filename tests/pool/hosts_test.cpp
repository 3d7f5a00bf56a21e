// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Programs that treat their processes, signals, descriptors and files in unusual ways.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using support::succeeds;

namespace {

using tasks::square;

// A folder of its own, gone with the test.
class HostFolder {
 public:
  HostFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pooltest.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder");
    path_ = name;
  }
  ~HostFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::filesystem::path operator/(std::string const& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

testing::AssertionResult survives_losing_its_file(std::string const& how, std::string const& when) {
  HostFolder const folder;
  auto const copy = folder / "copy";
  std::filesystem::copy_file(support::program_path("loses_its_file"), copy);
  support::Program program(copy, {how, when});
  if (program.wait() && program.end() == "exit 0") return testing::AssertionSuccess();
  return testing::AssertionFailure() << program.end() << "\n" << program.output();
}

}  // namespace

TEST(Host, IgnoresSigchld) { EXPECT_TRUE(succeeds("ignores_sigchld")); }

TEST(Host, HandlesCrashesItself) { EXPECT_TRUE(succeeds("handles_crashes")); }

TEST(Host, WhoseWorkersHangInTheReportOfACrash) { EXPECT_TRUE(succeeds("hangs_while_reporting")); }

TEST(Host, WaitsForAnyChild) { EXPECT_TRUE(succeeds("waits_for_any")); }

TEST(Host, ForksItself) {
  // In a forked child that exits, what other threads had in hand at the fork belongs to nobody: a
  // leak checker would report it.
  char const* const before = std::getenv("ASAN_OPTIONS");
  std::string const options = before == nullptr ? "" : std::string(before) + ":";
  ::setenv("ASAN_OPTIONS", (options + "detect_leaks=0").c_str(), 1);
  EXPECT_TRUE(succeeds("forks_itself"));
  if (options.empty()) {
    ::unsetenv("ASAN_OPTIONS");
  } else {
    ::setenv("ASAN_OPTIONS", options.c_str(), 1);
  }
}

TEST(Host, HasNoStandardStreams) {
  for (std::string const closed : {"0", "1", "2", "01", "02", "12", "012"}) {
    EXPECT_TRUE(succeeds("closes_standard", {closed})) << "closed: " << closed;
  }
}

// It works, or it says what is missing; it never hangs, and nothing else is thrown.
TEST(Host, MayHaveFewDescriptors) {
  bool worked = false;
  bool refused = false;
  // A sanitizer needs some for its own checks.
  for (int count = support::rounds(3, 8); count <= 40; count += support::rounds(1, 4)) {
    support::Program program(support::program_path("few_descriptors"), {std::to_string(count)});
    ASSERT_TRUE(program.wait(20s)) << count << " descriptors\n" << program.output();
    std::string const end = program.end();
    EXPECT_TRUE(end == "exit 0" || end == "exit 10") << count << " descriptors: " << end << "\n"
                                                     << program.output();
    worked = worked || end == "exit 0";
    if (end != "exit 10") continue;
    refused = true;
    EXPECT_TRUE(program.output().find("descriptors") != std::string::npos ||
                program.output().find("Too many open files") != std::string::npos)
        << count << " descriptors: " << program.output();
    EXPECT_EQ(program.output().find("Invalid argument"), std::string::npos) << program.output();
  }
  EXPECT_TRUE(worked);
  EXPECT_TRUE(refused);
}

TEST(Host, ThatClosesDescriptorsOfItsPoolIsAbortedAndToldWhy) {
  for (char const* const when : {"idle", "busy"}) {
    support::Program program(support::program_path("closes_what_it_has_not_opened"), {when});
    ASSERT_TRUE(program.wait()) << program.output();
    EXPECT_EQ(program.end(), "signal 6") << program.output();
    EXPECT_NE(program.output().find("has closed descriptors that are the pool's"),
              std::string::npos)
        << program.output();
  }
}

TEST(Host, WhoseWorkersAbortAtStart) {
  support::Program program(support::program_path("aborts_at_start"));
  ASSERT_TRUE(program.wait());
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  std::size_t starts = 0;
  for (std::string const& line : program.lines()) starts += line == "worker";
  EXPECT_GE(starts, 3u);
  EXPECT_LE(starts, 6u);
}

TEST(Host, WhoseWorkersNeverSpeak) { EXPECT_TRUE(succeeds("sleeps_at_start")); }

TEST(Host, WhoseWorkersSometimesFailToStart) {
  HostFolder const folder;
  std::string const path = folder / "starts";
  std::ofstream(path).close();
  ::setenv("TEST_STARTS", path.c_str(), 1);
  EXPECT_TRUE(succeeds("flaky_start"));
  ::unsetenv("TEST_STARTS");
}

// By others: that says little about the next start.
TEST(Host, WhoseWorkersAreKilledWhileTheyStart) {
  HostFolder const folder;
  std::string const path = folder / "starts";
  std::ofstream(path).close();
  ::setenv("TEST_STARTS", path.c_str(), 1);
  ::setenv("TEST_STARTS_KILLED", "1", 1);
  EXPECT_TRUE(succeeds("flaky_start"));
  ::unsetenv("TEST_STARTS_KILLED");
  ::unsetenv("TEST_STARTS");
}

TEST(Host, WhoseFileIsDeleted) {
  EXPECT_TRUE(survives_losing_its_file("delete", "after"));
  EXPECT_TRUE(survives_losing_its_file("delete", "before"));
}

TEST(Host, WhoseFileIsReplaced) {
  EXPECT_TRUE(survives_losing_its_file("replace", "after"));
  EXPECT_TRUE(survives_losing_its_file("replace", "before"));
}

TEST(Host, IsStartedThroughALink) {
  HostFolder const folder;
  auto const link = folder / "another_name";
  std::filesystem::create_symlink(support::program_path("ignores_sigchld"), link);
  support::Program program(link);
  ASSERT_TRUE(program.wait());
  EXPECT_EQ(program.end(), "exit 0") << program.output();
}

TEST(Host, UsesAPoolInAStaticInitialiser) { EXPECT_TRUE(succeeds("pool_in_initialiser")); }

TEST(Host, IsBusyInManyThreads) {
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      while (!over) {
      }
    });
  }
  {
    procpool::ProcessPool pool{2};
    std::vector<int> inputs(500);
    for (int i = 0; i < 500; ++i) inputs[static_cast<std::size_t>(i)] = i;
    auto const results = pool.map<square>(inputs);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
    EXPECT_EQ(pool.call<square>(3), 9);
  }
  over = true;
  for (auto& thread : threads) thread.join();
}

// Signals that interrupt every system call of the program, all the time.
TEST(Host, IsShoweredWithSignals) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};  // and no SA_RESTART
  ::sigaction(SIGALRM, &action, &before);
  itimerval const often{{0, 500}, {0, 500}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  {
    procpool::ProcessPool pool{2};
    for (int i = 0; i < support::rounds(300, 50); ++i) ASSERT_EQ(pool.call<square>(i), i * i);
    std::string const text(2'000'000, 's');
    auto const echo = [](std::string same) { return same; };
    for (int i = 0; i < 5; ++i) ASSERT_EQ(pool.call(echo, text), text);
    for (int i = 0; i < 5; ++i) {
      EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
    }
  }
  itimerval const never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
}

// A pool adds no signal handler, and blocks nothing in the program's threads.
TEST(Host, KeepsItsSignalsToItself) {
  sigset_t before;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  std::vector<void (*)(int)> handlers;
  auto const handler_of = [](int signal) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    return action.sa_handler;
  };
  for (int signal = 1; signal <= SIGRTMAX; ++signal) handlers.push_back(handler_of(signal));
  {
    procpool::ProcessPool pool{2};
    EXPECT_EQ(pool.call<square>(2), 4);
    EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      EXPECT_EQ(handler_of(signal), handlers[static_cast<std::size_t>(signal) - 1]) << signal;
    }
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
    }
  }
}

// Children of the program are its own: the pool neither reaps nor signals them.
TEST(Host, KeepsItsChildren) {
  procpool::ProcessPool pool{1};
  pool.call<square>(1);
  pid_t const child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(1);
  }
  EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
  pool.terminate();
  EXPECT_TRUE(support::alive(child));
  ::kill(child, SIGTERM);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
}
