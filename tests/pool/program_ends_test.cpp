// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The program ends, in any way, with busy workers: two seconds later none is left, nor anything
// that a task has started in its worker's process group; and nobody but the program says a word
// about it.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto soon = support::sanitized ? 10s : 2s;

// Workers of an idle static and an idle leaked pool; a worker of a global one and three of one on
// the stack, of which two have a child and a grandchild.
constexpr std::size_t processes = 2 + 1 + 3 + 2 * 2;

std::vector<pid_t> pids_from(support::Program& program) {
  std::vector<pid_t> pids;
  for (std::string const& line : program.lines()) pids.push_back(std::atoi(line.c_str()));
  return pids;
}

bool all_gone(std::vector<pid_t> const& pids) { return std::ranges::none_of(pids, support::alive); }

// The last thing that happens before the program waits.
bool one_is_stopped(std::vector<pid_t> const& pids) {
  return std::ranges::any_of(pids, [](pid_t pid) { return support::stat_of(pid).state == 'T'; });
}

testing::AssertionResult nothing_is_left(support::Program& program,
                                         std::vector<pid_t> const& pids) {
  if (!support::until([&] { return all_gone(pids); }, soon)) {
    auto result = testing::AssertionFailure() << "left are";
    for (pid_t const pid : pids) {
      if (!support::alive(pid)) continue;
      result << " " << pid << " (" << support::stat_of(pid).state << ")";
      ::kill(pid, SIGKILL);
    }
    return result;
  }
  // Nobody holds its standard output any more either.
  if (!program.output_ended(soon)) return testing::AssertionFailure() << "its output is still open";
  return testing::AssertionSuccess();
}

// `end_it` is called once all processes are there.
template <class EndIt>
void expect_none_left(EndIt end_it, std::string const& end, bool says_nothing = true) {
  support::Program program(support::program_path("leaves"));
  ASSERT_TRUE(program.wrote_lines(processes)) << program.output();
  auto const pids = pids_from(program);
  ASSERT_EQ(std::set(pids.begin(), pids.end()).size(), processes) << program.output();
  for (pid_t const pid : pids) ASSERT_TRUE(support::alive(pid)) << pid;
  ASSERT_TRUE(support::until([&] { return one_is_stopped(pids); }));
  std::string const before = program.output();

  end_it(program);
  ASSERT_TRUE(program.wait(20s));
  EXPECT_EQ(program.end(), end);
  EXPECT_TRUE(nothing_is_left(program, pids));
  // A sanitized process takes so long to fork that its fork server may be abandoned meanwhile,
  // which is said.
  bool const may_be_slow = support::sanitized && ::getenv("LEAVES_FORKSERVER") != nullptr;
  if (says_nothing && !may_be_slow) {
    EXPECT_EQ(program.output(), before);
  }
}

void expect_none_left_after(std::string const& order, std::string const& end,
                            bool says_nothing = true) {
  expect_none_left([&](support::Program& program) { program.say(order); }, end, says_nothing);
}

void expect_none_left_after(int signal) {
  expect_none_left([&](support::Program& program) { program.kill(signal); },
                   "signal " + std::to_string(signal));
}

// Programs that are started have their workers forked.
class ForkedWorkersProgramEnd : public testing::Test {
 protected:
  void SetUp() override {
    if (support::thread_sanitized) GTEST_SKIP() << "this sanitizer starts a thread of its own";
    ::setenv("LEAVES_FORKSERVER", "1", 1);
  }
  void TearDown() override { ::unsetenv("LEAVES_FORKSERVER"); }
};

// As the terminal does it: to everybody in the foreground process group.
void press_ctrl_c(support::Program const& program) { ::kill(-program.pid(), SIGINT); }

}  // namespace

TEST(ProgramEnd, ByReturn) { expect_none_left_after("return", "exit 6"); }
TEST(ProgramEnd, ByExit) { expect_none_left_after("exit", "exit 4"); }
TEST(ProgramEnd, ByUnderscoreExit) { expect_none_left_after("_exit", "exit 3"); }
TEST(ProgramEnd, ByQuickExit) { expect_none_left_after("quick_exit", "exit 5"); }
TEST(ProgramEnd, ByAbort) { expect_none_left_after("abort", "signal 6", !support::sanitized); }
TEST(ProgramEnd, ByUncaughtException) { expect_none_left_after("throw", "signal 6", false); }
TEST(ProgramEnd, BySigkill) { expect_none_left_after(SIGKILL); }
TEST(ProgramEnd, BySigterm) { expect_none_left_after(SIGTERM); }
TEST(ProgramEnd, BySigint) { expect_none_left_after(SIGINT); }
TEST(ProgramEnd, BySighup) { expect_none_left_after(SIGHUP); }
TEST(ProgramEnd, ByCtrlC) { expect_none_left(press_ctrl_c, "signal 2"); }

// A stopped process cannot look after itself, and nobody wakes it when those that are orphaned come
// to a process of the same session, as below a supervisor or in a container.
void expect_none_left_under_a_supervisor() {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  for (int const signal : {SIGKILL, SIGTERM}) expect_none_left_after(signal);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

TEST(ProgramEnd, WithAStoppedWorkerUnderASupervisor) { expect_none_left_under_a_supervisor(); }

// A worker that cannot see the program's end, and that nobody continues: not the kernel by a death
// signal, and not the fork server, which is killed first.
TEST(ProgramEnd, WithAWorkerThatNothingContinues) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  for (char const* const start : {"spawn", "forkserver"}) {
    // This sanitizer starts a thread of its own: nothing is forked then.
    if (support::thread_sanitized && start == std::string_view("forkserver")) break;
    support::Program program(support::program_path("stops_its_worker"), {start});
    ASSERT_TRUE(program.wrote_lines(3)) << program.output();
    auto const pids = pids_from(program);
    pid_t const worker = pids.at(0);
    ASSERT_TRUE(support::until([&] { return support::stat_of(worker).state == 'T'; }));
    bool const forked = pids.at(2) != program.pid();
    EXPECT_EQ(forked, start == std::string("forkserver"));
    // Stopped first, so that it makes no other fork server.
    program.kill(SIGSTOP);
    if (forked) ::kill(pids.at(2), SIGKILL);
    program.kill(SIGKILL);
    ASSERT_TRUE(program.wait(20s));
    EXPECT_TRUE(nothing_is_left(program, pids)) << start;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

// Workers that have not come as far as to watch the program themselves.
TEST(ProgramEnd, WithAWorkerInStaticInitialisation) {
  for (char const* const start : {"spawn", "forkserver"}) {
    support::Program program(support::program_path("sleeps_at_start"), {"for_ever", start});
    ASSERT_TRUE(program.wrote_lines(2)) << program.output();
    auto const pids = pids_from(program);
    program.kill(SIGKILL);
    ASSERT_TRUE(program.wait(20s));
    EXPECT_TRUE(nothing_is_left(program, pids)) << start;
  }
}

// While workers are only being started, or ended: killed at many moments of a life.
void expect_none_left_at_any_moment() {
  for (int i = 0; i < 30; ++i) {
    support::Program program(support::program_path("leaves"));
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    program.kill(SIGKILL);
    ASSERT_TRUE(program.wait(20s));
    ASSERT_TRUE(program.output_ended(soon + 1s)) << "killed after " << i << " ms";
  }
}

TEST(ProgramEnd, AtAnyMoment) { expect_none_left_at_any_moment(); }

// ---- workers that are children of a fork server

TEST_F(ForkedWorkersProgramEnd, HoweverItEnds) {
  for (char const* const how : {"return", "exit", "_exit"}) {
    int const status = how[0] == 'r' ? 6 : how[0] == 'e' ? 4 : 3;
    expect_none_left_after(how, "exit " + std::to_string(status));
  }
  for (int const signal : {SIGKILL, SIGTERM}) expect_none_left_after(signal);
}

TEST_F(ForkedWorkersProgramEnd, WithAStoppedWorkerUnderASupervisor) {
  expect_none_left_under_a_supervisor();
}

TEST_F(ForkedWorkersProgramEnd, AtAnyMoment) { expect_none_left_at_any_moment(); }

// ---- programs that take the signal themselves, in a thread that waits for it

TEST(SignalThread, TerminatesThePool) {
  for (int const signal : {SIGINT, SIGTERM}) {
    support::Program program(support::program_path("leaves"), {"kill"});
    ASSERT_TRUE(program.wrote_lines(processes)) << program.output();
    auto const pids = pids_from(program);
    ASSERT_TRUE(support::until([&] { return one_is_stopped(pids); }));
    std::string const before = program.output();
    program.kill(signal);
    ASSERT_TRUE(program.wait(20s)) << program.output();
    EXPECT_EQ(program.end(), "exit 0") << program.output();
    EXPECT_TRUE(nothing_is_left(program, pids));
    EXPECT_EQ(program.output(), before);
  }
}

// Ctrl-C is for the program and not for its workers: what runs is finished, however often the key
// is pressed.
TEST(SignalThread, LetsWhatRunsFinishAfterCtrlC) {
  support::Program program(support::program_path("leaves"), {"cancel"});
  // Two idle workers, and three that have begun.
  ASSERT_TRUE(program.wrote_lines(2 + 3)) << program.output();
  for (int i = 0; i < 3; ++i) press_ctrl_c(program);
  ASSERT_TRUE(program.wait(20s)) << program.output();
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  EXPECT_TRUE(nothing_is_left(program, pids_from(program)));
  for (std::string const& line : program.lines()) EXPECT_NE(std::atoi(line.c_str()), 0) << line;
}
