// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The environment of a worker, and above all what it has not: descriptors, signals, group,
// environment.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <procpool.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

std::map<int, std::string> own_descriptors() { return support::descriptors_of(::getpid()); }

// The kind of a descriptor, without the details that differ from one to the next.
std::string kind_of(std::string const& target) {
  return target.substr(
      0, target.find_first_of("[0123456789", target.starts_with("anon_inode") ? 20 : 0));
}

std::multiset<std::string> kinds_of(std::map<int, std::string> const& descriptors) {
  std::multiset<std::string> kinds;
  for (auto const& [number, target] : descriptors) {
    if (number > STDERR_FILENO) kinds.insert(kind_of(target));
  }
  return kinds;
}

std::string own_status(std::string name) {
  std::string const text = support::read_text("/proc/self/status");
  auto const at = text.find("\n" + name + ":");
  if (at == std::string::npos) return "";
  auto const begin = text.find_first_not_of(" \t", at + name.size() + 2);
  return text.substr(begin, text.find('\n', begin) - begin);
}

std::vector<int> signals_not_at_default() {
  std::vector<int> found;
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) {
      found.push_back(signal);
    }
  }
  return found;
}

int blocked_signals() {
  sigset_t set;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &set);
  int count = 0;
  for (int signal = 1; signal < SIGRTMAX; ++signal) count += ::sigismember(&set, signal) == 1;
  return count;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) all.emplace_back(*variable);
  std::ranges::sort(all);
  return all;
}

}  // namespace

TEST(Worker, HasFewDescriptorsAndAlwaysTheSame) {
  procpool::ProcessPool pool{2};
  auto const descriptors = pool.call(own_descriptors);
  std::string list;
  for (auto const& [number, target] : descriptors) {
    list += std::to_string(number) + " -> " + target + "\n";
  }
  SCOPED_TRACE(list);
  EXPECT_EQ(descriptors.at(STDIN_FILENO), "/dev/null");
  EXPECT_TRUE(descriptors.contains(STDOUT_FILENO));
  EXPECT_TRUE(descriptors.contains(STDERR_FILENO));
  // Control socket, event, the parent's pidfd and liveness pipe; nothing that could be a file or a
  // ring.
  EXPECT_LE(descriptors.size(), 7u);
  for (auto const& [number, target] : descriptors) {
    if (number <= STDERR_FILENO) continue;
    EXPECT_TRUE(target.starts_with("socket:") || target.starts_with("anon_inode:[eventfd]") ||
                target.starts_with("anon_inode:[pidfd]") || target.starts_with("pidfd:") ||
                target.starts_with("pipe:"))
        << number << " -> " << target;
  }
  // The same in a later one, in one with many before it, and after messages that needed
  // descriptors; but for the memory of its own large results, which it keeps for a while.
  auto const kinds = kinds_of(descriptors);
  auto with_results = kinds;
  with_results.insert("/memfd:procpool message (deleted)");
  for (int i = 0; i < 5; ++i) {
    try {
      pool.call([] { ::raise(SIGKILL); });
    } catch (procpool::WorkerDied const&) {
    }
    pool.call([](std::string const& text) { return text.size(); }, std::string(1'000'000, 'x'));
    EXPECT_EQ(kinds_of(pool.call(own_descriptors)), kinds);
    pool.call([](std::string const& text) { return text + text; }, std::string(100'000, 'x'));
    auto const after = kinds_of(pool.call(own_descriptors));
    EXPECT_TRUE(after == kinds || after == with_results);
  }
}

TEST(Worker, InheritsNoneOfTheProgramsDescriptors) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);  // inheritable, as pipe() makes them
  std::string const mine = support::descriptors_of(::getpid()).at(pipe[0]);
  procpool::ProcessPool pool{1};
  auto const in_worker = pool.call(own_descriptors);
  for (auto const& [number, target] : in_worker) EXPECT_NE(target, mine) << number;
  // The reader sees the end when the program closes its side, whatever the workers do.
  ::close(pipe[1]);
  char byte = 0;
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0);
  ::close(pipe[0]);
}

// Nor those of another pool.
TEST(Worker, HoldsNothingOfOtherPools) {
  procpool::ProcessPool first{2};
  first.call(own_descriptors);
  procpool::ProcessPool second{2};
  EXPECT_EQ(kinds_of(second.call(own_descriptors)), kinds_of(first.call(own_descriptors)));
}

TEST(Worker, ReadsNothingFromStandardInput) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] {
    char byte = 0;
    return static_cast<int>(::read(STDIN_FILENO, &byte, 1));
  }),
            0);
}

TEST(Worker, HasNoSignalsBlockedOrIgnoredButForTheTerminals) {
  std::vector<int> const ignored{SIGPIPE, SIGINT, SIGUSR1, SIGHUP};
  std::map<int, void (*)(int)> before;
  for (int const signal : ignored) before[signal] = ::signal(signal, SIG_IGN);
  sigset_t all;
  sigset_t mask;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &mask);

  std::vector<int> others;
  int blocked = -1;
  std::string ignored_there;
  {
    procpool::ProcessPool pool{1};
    blocked = pool.call(blocked_signals);
    others = pool.call(signals_not_at_default);
    ignored_there = pool.call(own_status, "SigIgn");
  }
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  for (auto const& [signal, handler] : before) ::signal(signal, handler);

  EXPECT_EQ(blocked, 0);
  // Those of crashes, so that the worker can report one; and those by which a terminal stops
  // background jobs.
  std::vector<int> ours{SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE,
                        SIGSEGV, SIGSYS,  SIGTSTP, SIGTTIN, SIGTTOU};
  std::ranges::sort(ours);
  EXPECT_EQ(others, ours);
  // The C library keeps two above these to itself.
  auto const bit = [](int signal) { return 1u << (signal - 1); };
  EXPECT_EQ(std::stoull(ignored_there, nullptr, 16) & 0x7fff'ffffu,
            bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU));
}

TEST(Worker, LeadsAGroupOfItsOwn) {
  procpool::ProcessPool pool{2};
  auto const is_leader = [] { return ::getpgrp() == ::getpid(); };
  EXPECT_TRUE(pool.call(is_leader));
  EXPECT_NE(pool.call([] { return ::getpgrp(); }), ::getpgrp());
}

TEST(Worker, HasNothingOfAnMpiLauncher) {
  ::setenv("PMI_FD", "7", 1);
  ::setenv("OMPI_COMM_WORLD_RANK", "3", 1);
  auto const has = [](std::string const& name) { return std::getenv(name.c_str()) != nullptr; };
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::ProcessPool plain{{.workers = 1, .start = {.method = start}}};
    EXPECT_FALSE(plain.call(has, std::string("PMI_FD")));
    EXPECT_FALSE(plain.call(has, std::string("OMPI_COMM_WORLD_RANK")));
    procpool::ProcessPool told{
        {.workers = 1, .start = {.method = start, .environment = {{"PMI_FD", "8"}}}}};
    EXPECT_TRUE(told.call(has, std::string("PMI_FD")));
    EXPECT_FALSE(told.call(has, std::string("OMPI_COMM_WORLD_RANK")));
  }
  ::unsetenv("PMI_FD");
  ::unsetenv("OMPI_COMM_WORLD_RANK");
}

TEST(Worker, HasTheProgramsEnvironmentAndThreadLimitsAndNothingMore) {
  ::setenv("ONE_OF_THE_PROGRAM", "its value", 1);
  procpool::ProcessPool pool{1};
  auto expected = own_environment();
  for (char const* const name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                 "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"}) {
    if (std::getenv(name) == nullptr) {
      expected.push_back(std::string(name) + "=" + std::to_string(procpool::cpu_count()));
    }
  }
  std::ranges::sort(expected);
  EXPECT_EQ(pool.call(own_environment), expected);
  ::unsetenv("ONE_OF_THE_PROGRAM");
}

TEST(Worker, GetsWhatTheOptionsAddToTheEnvironment) {
  ::setenv("ONE_OF_THE_PROGRAM", "its value", 1);
  procpool::PoolOptions options;
  options.workers = 1;
  options.start.environment = {{"ONE_OF_THE_PROGRAM", "another"}, {"OMP_NUM_THREADS", "7"}};
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call([] { return std::string(std::getenv("ONE_OF_THE_PROGRAM")); }), "another");
  EXPECT_EQ(pool.call([] { return std::string(std::getenv("OMP_NUM_THREADS")); }), "7");
  ::unsetenv("ONE_OF_THE_PROGRAM");
  options.start.environment = {{"A=B", "x"}};
  EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
}

// A process that a task starts is not taken for a worker either.
TEST(Worker, PassesNoMarkOn) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] { return std::system("env | grep -q ^PROCPOOL"); }) / 256, 1);
}

TEST(Worker, KnowsThatItIsOne) {
  EXPECT_FALSE(procpool::in_worker());
  EXPECT_EQ(procpool::worker_index(), -1);
  procpool::ProcessPool pool{3};
  EXPECT_TRUE(pool.call([] { return procpool::in_worker(); }));
  auto const indices = pool.with({.chunk = 1})
                           .map(
                               [](int) {
                                 std::this_thread::sleep_for(std::chrono::milliseconds(2));
                                 return procpool::worker_index();
                               },
                               std::vector<int>(60));
  for (int const index : indices) {
    EXPECT_GE(index, 0);
    EXPECT_LT(index, 3);
  }
}

TEST(Worker, ReplacementTakesOverTheIndex) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool.call([] { return procpool::worker_index(); }), 0);
    EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
  }
}

TEST(Worker, IsNamedAfterItsPool) {
  procpool::ProcessPool pool{{.workers = 1, .name = "solver"}};
  pid_t const pid = pool.call([] { return ::getpid(); });
  std::string const line = support::read_text(support::proc(pid, "cmdline"));
  EXPECT_NE(line.find("solver"), std::string::npos) << line;
  try {
    pool.call([] { ::raise(SIGKILL); });
    FAIL();
  } catch (procpool::WorkerDied const& died) {
    EXPECT_NE(std::string(died.what()).find("solver"), std::string::npos) << died.what();
  }
}

TEST(Worker, WorksWhereTheProgramWorks) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] { return std::filesystem::current_path().string(); }),
            std::filesystem::current_path().string());
}

TEST(Worker, WritesNoCoreDumps) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    return static_cast<unsigned long>(limit.rlim_cur);
  }),
            0u);
}

TEST(Worker, SharesNoStateWithTheProgram) {
  static int counter = 0;
  counter = 100;
  procpool::ProcessPool pool{1};
  auto const count = [] { return ++counter; };
  EXPECT_EQ(pool.call(count), 1);  // its own, as static initialisation left it
  EXPECT_EQ(pool.call(count), 2);
  EXPECT_EQ(counter, 100);
}

// An idle pool sleeps.
TEST(Worker, UsesNoCpuWhileIdle) {
  procpool::ProcessPool pool{2};
  pid_t const pid = pool.call([] { return ::getpid(); });
  auto const ticks = [](pid_t process) {
    std::string const text = support::read_text(support::proc(process, "schedstat"));
    return std::strtoull(text.c_str(), nullptr, 10);
  };
  ASSERT_TRUE(support::until([&] { return support::asleep(pid); }));
  auto const before = ticks(pid);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(ticks(pid) - before, 2'000'000u);  // nanoseconds
}
