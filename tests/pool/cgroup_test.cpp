// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PlacementOptions::cgroup: with a worker ends all that it started, also what has left its process
// group.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <vector>

#include "support/cgroup.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

pid_t start_a_stray_child() {
  pid_t const child = ::fork();
  if (child != 0) return child;
  ::setsid();
  for (;;) ::pause();
}
using tasks::square;

class CgroupPool : public testing::Test {
 protected:
  void SetUp() override {
    if (folder_.empty()) GTEST_SKIP() << "no control group of version 2 may be made here";
  }
  procpool::PoolOptions options() const {
    procpool::PoolOptions options;
    options.workers = 2;
    options.placement.cgroup = folder_;
    return options;
  }
  // Groups that pools of this process, or of that one, have left.
  std::vector<std::string> left(pid_t pid = ::getpid()) const {
    std::vector<std::string> names;
    for (auto const& entry : std::filesystem::directory_iterator(folder_)) {
      std::string const name = entry.path().filename();
      if (name.starts_with("procpool-" + std::to_string(pid) + "-")) names.push_back(name);
    }
    return names;
  }
  static bool dies(pid_t pid) {
    return support::until([pid] { return !support::alive(pid); }, 5s);
  }

  std::string const folder_ = support::cgroup_folder();
};

TEST_F(CgroupPool, StrayChildrenEndWithThePool) {
  std::vector<pid_t> strays;
  {
    procpool::ProcessPool pool{options()};
    for (int i = 0; i < 5; ++i) strays.push_back(pool.call<&start_a_stray_child>());
    for (pid_t const pid : strays) EXPECT_TRUE(support::alive(pid));
    EXPECT_FALSE(left().empty());
  }
  for (pid_t const pid : strays) EXPECT_TRUE(dies(pid)) << pid;
  EXPECT_EQ(left(), std::vector<std::string>{});
}

TEST_F(CgroupPool, StrayChildrenEndWithTheirWorker) {
  auto one = options();
  one.workers = 1;
  procpool::ProcessPool pool{one};
  pid_t const stray = pool.call<&start_a_stray_child>();
  EXPECT_THROW(pool.call([] { ::raise(SIGKILL); }), procpool::WorkerDied);
  EXPECT_TRUE(dies(stray));
  EXPECT_EQ(pool.call<square>(3), 9);
  EXPECT_TRUE(support::until([&] { return left().size() == 1; }));
}

// Nobody is left to remove the group's folder then: the next pool does.
TEST_F(CgroupPool, StrayChildrenEndWithAProgramThatIsKilled) {
  support::Program program(support::program_path("leaves_its_group"), {folder_});
  ASSERT_TRUE(program.wrote_lines(2)) << program.output();
  auto const lines = program.lines();
  pid_t const worker = std::atoi(lines[0].c_str());
  pid_t const stray = std::atoi(lines[1].c_str());
  EXPECT_TRUE(support::alive(stray));
  program.kill(SIGKILL);
  ASSERT_TRUE(program.wait());
  EXPECT_TRUE(dies(worker));
  EXPECT_TRUE(dies(stray));
  EXPECT_TRUE(program.output_ended(5s));
  // As soon as the last of its threads is gone.
  EXPECT_TRUE(support::until([&] {
    procpool::ProcessPool pool{options()};
    EXPECT_EQ(pool.call<square>(2), 4);
    return left(program.pid()).empty();
  }));
}

TEST_F(CgroupPool, WorksUnderCrashesAndLoad) {
  procpool::ProcessPool pool{options()};
  auto const outcomes = pool.outcomes().map(
      [](int x) {
        if (x % 20 == 3) ::raise(SIGKILL);
        return x;
      },
      std::views::iota(0, 200));
  int dead = 0;
  for (auto const& outcome : outcomes) dead += outcome.has_value() ? 0 : 1;
  EXPECT_EQ(dead, 10);
  pool.join();
  EXPECT_EQ(left(), std::vector<std::string>{});
}

TEST(CgroupFolder, ThatIsNoneIsSaid) {
  for (std::string const folder : {"/nowhere", "/tmp"}) {
    procpool::PoolOptions options;
    options.workers = 1;
    options.placement.cgroup = folder;
    options.log = [](std::string_view) {};
    procpool::ProcessPool pool{options};
    EXPECT_THROW(pool.call<square>(1), procpool::SetupError) << folder;
  }
  EXPECT_FALSE(std::filesystem::exists("/tmp/procpool-" + std::to_string(::getpid()) + "-1"));
}

}  // namespace
