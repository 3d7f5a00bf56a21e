// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program that uses everything is killed, with all that it has started, one after the other or all at
// once: nothing is left of it. While only others than the program itself are killed, it goes on.
// TEST_SECONDS and TEST_SEED: for how long, and as which time.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <procpool.hpp>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/cgroup.hpp"
#include "support/duration.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/seed.hpp"
#include "support/start.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto soon = support::sanitized ? 20s : 5s;

// In the environment of the program, and of all that it starts.
constexpr char const* mark_variable = "PROCPOOL_TEST_MARK";

class ProgramOfEverything : public testing::TestWithParam<procpool::Start> {
 protected:
  void SetUp() override {
    if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts threads of its own";
    // What is orphaned becomes a child of this process.
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    names_ = names();
  }
  void TearDown() override { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }

  // Those of the program that live, which may be itself.
  static std::vector<pid_t> all_of(std::string const& mark) {
    std::vector<pid_t> found;
    for (pid_t const pid : support::numbers_in("/proc")) {
      if (has(pid, mark)) found.push_back(pid);
    }
    return found;
  }

  // The mark is looked at when the number cannot pass on any more.
  void kill(pid_t pid, std::string const& mark) {
    int const pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) return;
    if (has(pid, mark) && ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0) {
      ++kills_;
      killed_.insert(pid);
    }
    ::close(pidfd);
  }

  // Anybody but the program, now and then.
  void kill_others(pid_t program, std::string const& mark, std::chrono::milliseconds time) {
    support::Stopwatch const watch;
    while (watch.passed() < time) {
      auto all = all_of(mark);
      std::erase(all, program);
      if (!all.empty()) kill(all[random_() % all.size()], mark);
      std::this_thread::sleep_for(std::chrono::milliseconds(5 + random_() % 30));
    }
  }

  enum class Way { program, program_last, all_at_once, others_for_a_while, count };
  void end(support::Program& program, std::string const& mark, Way way) {
    auto all = all_of(mark);
    std::ranges::shuffle(all, random_);
    std::erase(all, program.pid());
    killed_.insert(all.begin(), all.end());  // by now, or in a moment
    switch (way) {
      case Way::program: program.kill(SIGKILL); break;
      case Way::all_at_once:
        all.insert(all.begin() + static_cast<std::ptrdiff_t>(random_() % (all.size() + 1)),
                   program.pid());
        for (pid_t const pid : all) kill(pid, mark);
        break;
      default:
        for (pid_t const pid : all) kill(pid, mark);
        std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 5));
        program.kill(SIGKILL);
    }
  }

  void expect_nothing_left(support::Program& program, std::string const& mark) {
    ASSERT_TRUE(program.wait(soon));
    EXPECT_EQ(program.end(), "signal 9") << program.output();
    bool const gone = support::until(
        [&] {
          while (::waitpid(-1, nullptr, WNOHANG) > 0) {
          }
          return all_of(mark).empty() && support::children_of(::getpid()).empty();
        },
        soon);
    EXPECT_TRUE(gone);
    for (pid_t const pid : all_of(mark)) {
      ADD_FAILURE() << "left is " << pid << " (" << support::stat_of(pid).state << ") "
                    << support::read_text(support::proc(pid, "cmdline"));
      kill(pid, mark);
    }
    EXPECT_TRUE(program.output_ended(soon)) << "somebody has its output";
    for (std::string const& name : names()) {
      EXPECT_FALSE(!names_.contains(name) && is_of_the_program(name, mark)) << name;
    }
    expect_no_group_left(program.pid());
  }

  static std::set<std::string> names() {
    std::set<std::string> found;
    for (char const* const folder : {"/dev/shm", "/tmp", "/var/tmp"}) {
      std::error_code error;
      for (auto const& entry : std::filesystem::directory_iterator(folder, error)) {
        found.insert(entry.path());
      }
    }
    return found;
  }
  // Others work in these folders too.
  bool is_of_the_program(std::string const& name, std::string const& mark) const {
    return name.starts_with("/dev/shm/") || name.find(mark) != std::string::npos ||
           std::ranges::any_of(killed_, [&](pid_t pid) {
             return name.find("procpool-" + std::to_string(pid)) != std::string::npos;
           });
  }

  // An empty folder may stay. The next pool removes it.
  void expect_no_group_left(pid_t program) const {
    if (folder_.empty()) return;
    auto const none = [&] {
      procpool::PoolOptions options;
      options.workers = 1;
      options.placement.cgroup = folder_;
      procpool::ProcessPool pool{options};
      EXPECT_EQ(pool.call([](int x) { return x; }, 1), 1);
      auto const begin = "procpool-" + std::to_string(program) + "-";
      return std::ranges::none_of(
          std::filesystem::directory_iterator(folder_),
          [&](auto const& entry) { return entry.path().filename().string().starts_with(begin); });
    };
    EXPECT_TRUE(support::until(none, soon));
  }

  std::mt19937 random_{support::new_seed()};
  std::string const folder_ = support::cgroup_folder();
  std::uint64_t kills_ = 0;

 private:
  static bool has(pid_t pid, std::string const& mark) {
    return support::read_text(support::proc(pid, "environ")).find(mark) != std::string::npos;
  }

  std::set<std::string> names_;
  std::set<pid_t> killed_;
};

}  // namespace

TEST_P(ProgramOfEverything, LeavesNothingWhoeverIsKilled) {
  auto const end_of_test = std::chrono::steady_clock::now() + support::duration();
  int programs = 0;
  while (programs < static_cast<int>(Way::count) ||
         std::chrono::steady_clock::now() < end_of_test) {
    auto const way = static_cast<Way>(programs % static_cast<int>(Way::count));
    SCOPED_TRACE("way " + std::to_string(programs));
    std::string const mark =
        "everything-" + std::to_string(::getpid()) + "-" + std::to_string(programs++) + ".";
    ::setenv(mark_variable, mark.c_str(), 1);
    support::Program program(
        support::program_path("uses_everything"),
        {support::name_of(GetParam()), folder_.empty() ? std::string("-") : folder_});
    ::unsetenv(mark_variable);
    ASSERT_TRUE(program.wrote_lines(1)) << program.output();
    if (way == Way::others_for_a_while) {
      kill_others(program.pid(), mark, std::chrono::milliseconds(200 + random_() % 500));
      // Twice: the first one may have begun before the last kill.
      std::size_t const lines = program.lines().size();
      ASSERT_TRUE(program.wrote_lines(lines + 2)) << "it hangs";
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 50));
    }
    end(program, mark, way);
    expect_nothing_left(program, mark);
    if (HasFailure()) break;
  }
  std::cout << "torture: programs=" << programs << " kills=" << kills_ << ", nothing left"
            << std::endl;
}

// Also while all is only being started.
TEST_P(ProgramOfEverything, LeavesNothingAtAnyMomentOfItsStart) {
  for (int i = 0; i < support::rounds(20, 6); ++i) {
    std::string const mark = "start-" + std::to_string(::getpid()) + "-" + std::to_string(i) + ".";
    ::setenv(mark_variable, mark.c_str(), 1);
    support::Program program(
        support::program_path("uses_everything"),
        {support::name_of(GetParam()), folder_.empty() ? std::string("-") : folder_});
    ::unsetenv(mark_variable);
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * i));
    end(program, mark, i % 2 == 0 ? Way::program : Way::all_at_once);
    expect_nothing_left(program, mark);
    if (HasFailure()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Start, ProgramOfEverything,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);
