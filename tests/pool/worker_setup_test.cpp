// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A worker before its first element: its CPUs and nice value, what it has from the program,
// what it may do, how many there are, how deep they lie.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"

namespace {

std::vector<int> cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}
std::pair<int, std::vector<int>> cpus_of_worker(int) {
  return {procpool::worker_index(), cpus_of_this_thread()};
}
std::vector<int> cpus_of_a_thread(int) {
  std::vector<int> cpus;
  std::thread([&cpus] { cpus = cpus_of_this_thread(); }).join();
  return cpus;
}
int nice_of_worker() { return ::getpriority(PRIO_PROCESS, 0); }
std::string variable(std::string const& name) {
  char const* const value = std::getenv(name.c_str());
  return value == nullptr ? "(none)" : value;
}
using tasks::square;
int no_new_privileges() { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }
int dumpable() { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }

class Variable {
 public:
  Variable(char const* name, char const* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  char const* const name_;
};

// ---- CPUs

TEST(Cpus, WorkersArePinnedInTurn) {
  auto const mine = cpus_of_this_thread();
  procpool::ProcessPool pool{{.workers = 3, .placement = {.cpus = mine}}};
  std::set<int> seen;
  for (int const key : {0, 1, 2, 3, 4, 5}) {  // which go to all of them
    auto const [worker, cpus] = pool.with({.key = key}).call<cpus_of_worker>(0);
    EXPECT_EQ(cpus, std::vector{mine[static_cast<std::size_t>(worker) % mine.size()]});
    seen.insert(worker);
  }
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(pool.call<cpus_of_a_thread>(1).size(), 1u);
  EXPECT_EQ(cpus_of_this_thread(), mine);  // the program itself is not
}

TEST(Cpus, AWorkerMayHaveSeveral) {
  auto const mine = cpus_of_this_thread();
  if (mine.size() < 2) GTEST_SKIP() << "there is one CPU";
  Variable const threads("OMP_NUM_THREADS", "");
  ::unsetenv("OMP_NUM_THREADS");
  procpool::PoolOptions options;
  options.workers = 3;
  options.placement.cpus_per_worker = 2;
  procpool::ProcessPool pool{options};
  for (int const key : {0, 1, 2, 3, 4, 5}) {
    auto const [worker, cpus] = pool.with({.key = key}).call<cpus_of_worker>(0);
    auto const first = 2 * static_cast<std::size_t>(worker);
    std::set const own{mine[first % mine.size()], mine[(first + 1) % mine.size()]};
    EXPECT_EQ(std::set(cpus.begin(), cpus.end()), own);
  }
  EXPECT_EQ(pool.call<variable>("OMP_NUM_THREADS"), "2");
  options.placement.cpus_per_worker = mine.size() + 1;
  EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
  options.placement.cpus_per_worker = 0;
  EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
}

TEST(Cpus, OfOthersAreRefused) {
  for (int const cpu : {-1, 4000, 1 << 30}) {
    EXPECT_THROW((procpool::ProcessPool{{.workers = 1, .placement = {.cpus = {cpu}}}}),
                 std::invalid_argument);
  }
}

TEST(Nice, IsAddedToTheProgramsOwn) {
  int const mine = nice_of_worker();
  procpool::ProcessPool pool{{.workers = 1, .placement = {.nice = 3}}};
  EXPECT_EQ(pool.call<&nice_of_worker>(), mine + 3);
  EXPECT_EQ(nice_of_worker(), mine);
  for (int const nice : {-1, 40}) {
    EXPECT_THROW((procpool::ProcessPool{{.workers = 1, .placement = {.nice = nice}}}),
                 std::invalid_argument);
  }
}

// ---- how many

TEST(WorkerCount, CanBeSetByTheEnvironment) {
  Variable const set("PROCPOOL_WORKERS", "3");
  EXPECT_EQ(procpool::ProcessPool{}.size(), 3u);
  EXPECT_EQ(procpool::ProcessPool{5}.size(), 5u);  // what the program says goes first
  procpool::ProcessPool pool;
  EXPECT_EQ(pool.call<square>(3), 9);
}

TEST(WorkerCount, ThatMakesNoSenseIsRefused) {
  for (char const* const value : {"0", "-1", "many", "3x", "99999", " 3"}) {
    Variable const set("PROCPOOL_WORKERS", value);
    auto const error =
        support::thrown_by<std::invalid_argument>([] { procpool::ProcessPool const pool; });
    EXPECT_TRUE(support::says(error, "PROCPOOL_WORKERS")) << error.what();
    EXPECT_EQ(procpool::ProcessPool{2}.size(), 2u);
  }
  Variable const empty("PROCPOOL_WORKERS", "");
  EXPECT_EQ(procpool::ProcessPool{}.size(), procpool::cpu_count());
}

// ---- hardened

TEST(Harden, TakesPrivilegesAndSecretsAway) {
  Variable const secret("TEST_SECRET", "hunter2");
  Variable const locale("LC_TEST", "here");
  procpool::ProcessPool open{1};
  EXPECT_EQ(open.call<&no_new_privileges>(), 0);
  EXPECT_EQ(open.call<variable>("TEST_SECRET"), "hunter2");
  procpool::PoolOptions options;
  options.workers = 1;
  options.harden = true;
  options.start.environment = {{"TEST_ADDED", "yes"}};
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call<&no_new_privileges>(), 1);
  EXPECT_EQ(pool.call<&dumpable>(), 0);
  EXPECT_EQ(pool.call<variable>("TEST_SECRET"), "(none)");
  EXPECT_EQ(pool.call<variable>("TEST_ADDED"), "yes");
  EXPECT_EQ(pool.call<variable>("LC_TEST"), "here");
  EXPECT_EQ(pool.call<variable>("PATH"), variable("PATH"));
  EXPECT_EQ(pool.map<square>(std::views::iota(0, 100)).back(), 99 * 99);
  std::string const large(500'000, 'x');
  EXPECT_EQ(pool.call([](std::string text) { return text; }, large), large);
}

// ---- nesting

int depth_reached(int limit) {
  procpool::ProcessPool pool{{.workers = 1, .nesting_limit = limit}};
  try {
    return 1 + pool.call<depth_reached>(limit);
  } catch (procpool::SetupError const&) {
    return 0;
  }
}

TEST(NestingLimit, IsKept) {
  EXPECT_EQ(depth_reached(1), 1);
  EXPECT_EQ(depth_reached(3), 3);
  EXPECT_EQ(depth_reached(4), 4);
}

TEST(NestingLimit, SaysWhatIsWrong) {
  procpool::ProcessPool pool{{.workers = 1, .nesting_limit = 1}};
  auto const error = support::thrown_by<procpool::SetupError>([&] {
    pool.call(
        [](int x) {
          procpool::ProcessPool inner{{.workers = 1, .nesting_limit = 1}};
          return inner.call<square>(x);
        },
        1);
  });
  EXPECT_TRUE(support::says(error, "nesting_limit"));
  EXPECT_THROW((procpool::ProcessPool{{.nesting_limit = 0}}), std::invalid_argument);
}

// ---- worker_local

struct Connection {
  explicit Connection(std::string host) : name(std::move(host)) {}
  std::string name;
  int used = 0;
};
void connect(std::string const& host) {
  procpool::WorkerLocal<Connection>::emplace(host + std::to_string(procpool::worker_index()));
}
std::pair<std::string, bool> use_connection(int) {
  Connection& connection = procpool::WorkerLocal<Connection>::get();
  ++connection.used;
  return {connection.name, connection.used == ++procpool::WorkerLocal<int>::get()};
}

TEST(WorkerLocal, IsMadeOncePerWorkerAndFoundAgain) {
  procpool::PoolOptions options;
  options.workers = 2;
  options.start.initializer = procpool::bound<connect>("host");
  procpool::ProcessPool pool{options};
  for (auto const& [name, in_step] : pool.map<use_connection>(std::views::iota(0, 100))) {
    EXPECT_TRUE(name == "host0" || name == "host1") << name;
    EXPECT_TRUE(in_step);
  }
  EXPECT_FALSE(procpool::WorkerLocal<Connection>::exists());  // here
  procpool::ProcessPool without{1};
  EXPECT_THROW(without.call<use_connection>(1), std::logic_error);
}

}  // namespace
