// The program dies, in any way, with busy workers: two seconds later none is left, nor anything
// that a task has started in its worker's process group.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

// `order`: what it is told; empty: it is killed.
void expect_none_left(std::string const& order, std::string const& end) {
  support::Program program(support::program_path("parent_dies"));
  // Two workers and the child of a task.
  ASSERT_TRUE(program.wrote_lines(3)) << program.output();
  std::vector<pid_t> pids;
  for (std::string const& line : program.lines()) pids.push_back(std::atoi(line.c_str()));
  for (pid_t const pid : pids) ASSERT_TRUE(support::alive(pid)) << pid;

  if (order.empty()) {
    program.kill(SIGKILL);
  } else {
    program.say(order);
  }
  ASSERT_TRUE(program.wait(20s));
  EXPECT_EQ(program.end(), end);

  EXPECT_TRUE(support::until(
      [&] {
        for (pid_t const pid : pids) {
          if (support::alive(pid)) return false;
        }
        return true;
      },
      2s));
  // Nobody holds its standard output any more either.
  EXPECT_TRUE(program.output_ended(2s));
}

}  // namespace

TEST(ParentDeath, BySigkill) { expect_none_left("", "signal 9"); }
TEST(ParentDeath, ByUnderscoreExit) { expect_none_left("_exit", "exit 3"); }
TEST(ParentDeath, ByExit) { expect_none_left("exit", "exit 4"); }
TEST(ParentDeath, ByAbort) { expect_none_left("abort", "signal 6"); }
TEST(ParentDeath, ByUncaughtException) { expect_none_left("throw", "signal 6"); }

// While workers are only being started, or ended: killed at many moments of a life.
TEST(ParentDeath, AtAnyMoment) {
  for (int i = 0; i < 30; ++i) {
    support::Program program(support::program_path("parent_dies"));
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    program.kill(SIGKILL);
    ASSERT_TRUE(program.wait(20s));
    ASSERT_TRUE(program.output_ended(3s)) << "killed after " << i << " ms";
  }
}
