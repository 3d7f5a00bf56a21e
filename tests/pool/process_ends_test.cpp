// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How a process of its own ends: by itself, by a signal, by its owner, and with the program.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/captured_stderr.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::End;
using procpool::Process;
using procpool::ProcessOptions;
using procpool::Start;
using procpool::start_process;
using procpool::WorkerDied;
using tasks::fail;
using tasks::nothing;
using tasks::pause_for_ever;

void exit_with(int status) { std::exit(status); }
void crash_by(int signal) { ::raise(signal); }
void write_to(std::uintptr_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): on purpose
  *reinterpret_cast<int volatile*>(address) = 1;
}

// Until it is asked to stop; notes that it runs, and returns how it was asked.
std::string run_until_asked() {
  support::Trace::note(::getpid());
  while (!procpool::this_task::stop_requested()) std::this_thread::sleep_for(1ms);
  return "asked";
}
bool wait_for_token() {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, procpool::this_task::stop_token(), 20s, [] { return false; }) ||
         procpool::this_task::stop_requested();
}
// Looks for the request once, after it was made.
bool look_once(std::string const& gate) {
  support::Trace::note(::getpid());
  support::wait_at(gate);
  return procpool::this_task::stop_requested();
}

void handle_sigterm() {
  static int volatile handled = 0;
  ::signal(SIGTERM, [](int) { handled = 1; });
  support::Trace::note(::getpid());
  while (handled == 0) ::usleep(100);
  std::exit(7);
}

// With a child in its process group.
void have_a_child() {
  pid_t const child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  support::Trace::note(child);
  for (;;) ::pause();
}

bool noted(support::Trace const& trace) {
  return support::until([&] { return trace.size() == 1; });
}

class ProcessEnds : public testing::TestWithParam<Start> {
 protected:
  support::Trace trace_;
  // The fork server has the environment of an earlier test.
  ProcessOptions options_{
      .start = GetParam(),
      .environment = {{support::Trace::variable, std::getenv(support::Trace::variable)}}};
};

}  // namespace

TEST_P(ProcessEnds, ByExit) {
  auto process = start_process<exit_with>(options_, 3);
  auto const died = support::thrown_by<WorkerDied>([&] { process.get(); });
  EXPECT_EQ(died.exit_status(), 3);
  EXPECT_EQ(died.pid(), process.pid());
  process.join();
  EXPECT_EQ(process.exit_status(), 3);
  EXPECT_EQ(process.exit_signal(), std::nullopt);
}

TEST_P(ProcessEnds, ByASignalOfItsOwn) {
  auto process = start_process<crash_by>(options_, SIGKILL);
  EXPECT_EQ(support::thrown_by<WorkerDied>([&] { process.get(); }).signal(), SIGKILL);
  EXPECT_EQ(process.exit_signal(), SIGKILL) << "also ahead of join()";
  process.join();
  EXPECT_EQ(process.exit_signal(), SIGKILL);
  EXPECT_EQ(process.exit_status(), std::nullopt);
}

TEST_P(ProcessEnds, ByAnException) {
  auto process = start_process<fail>(options_, 1);
  process.join();
  EXPECT_EQ(process.exit_status(), 1);
  EXPECT_THROW(process.get(), std::out_of_range);
}

TEST_P(ProcessEnds, ByACrashThatIsReported) {
  options_.name = "crasher";
  auto process = start_process<write_to>(options_, 8u);
  auto const died = support::thrown_by<WorkerDied>([&] { process.get(); });
  EXPECT_TRUE(support::says(died, "crasher"));
  process.join();
  if (support::sanitized) return;  // a sanitizer reports it and exits
  EXPECT_TRUE(support::says(died, "SIGSEGV"));
  EXPECT_TRUE(support::says(died, "at address 0x8"));
  EXPECT_EQ(process.exit_signal(), SIGSEGV);
}

TEST_P(ProcessEnds, ByKill) {
  auto process = start_process<have_a_child>(options_);
  ASSERT_TRUE(noted(trace_));
  auto const child = static_cast<pid_t>(trace_.numbers()[0]);
  process.kill();
  EXPECT_TRUE(process.join_for(support::patience));
  EXPECT_EQ(process.exit_signal(), SIGKILL);
  EXPECT_TRUE(support::until([&] { return !support::alive(child); }));
  EXPECT_EQ(support::thrown_by<WorkerDied>([&] { process.get(); }).signal(), SIGKILL);
}

TEST_P(ProcessEnds, ByTerminate) {
  auto process = start_process<pause_for_ever>(options_, 0);
  ASSERT_TRUE(noted(trace_));
  process.terminate();
  process.join();
  EXPECT_EQ(process.exit_signal(), SIGTERM);
}

TEST_P(ProcessEnds, ByTerminateThatItHandles) {
  auto process = start_process<handle_sigterm>(options_);
  ASSERT_TRUE(noted(trace_));
  process.terminate();
  process.join();
  EXPECT_EQ(process.exit_status(), 7);
}

TEST_P(ProcessEnds, BeforeItHasBegun) {
  for (int i = 0; i < 20; ++i) {
    auto process = start_process<pause_for_ever>(options_, 0);
    process.kill();
    ASSERT_TRUE(process.join_for(support::patience)) << i;
    EXPECT_EQ(process.exit_signal(), SIGKILL);
    EXPECT_THROW(process.get(), WorkerDied);
  }
}

TEST_P(ProcessEnds, AtItsTimeout) {
  options_.timeout = 50ms;
  options_.name = "reader";
  auto process = start_process<pause_for_ever>(options_, 0);
  auto const late = support::thrown_by<procpool::TaskTimeout>([&] { process.get(); });
  EXPECT_TRUE(support::says(late, "of process \"reader\" ran longer than its timeout"));
  process.join();
  EXPECT_TRUE(process.exit_signal());
}

TEST_P(ProcessEnds, WhenItIsAskedTo) {
  auto process = start_process<run_until_asked>(options_);
  ASSERT_TRUE(noted(trace_));
  process.request_stop();
  EXPECT_EQ(process.get(), "asked");
  process.join();
  EXPECT_EQ(process.exit_status(), 0);
}

TEST_P(ProcessEnds, WhenItsTokenIsAskedTo) {
  auto process = start_process<wait_for_token>(options_);
  process.request_stop();
  EXPECT_TRUE(process.get());
}

// The request is not lost, whether it comes before the function begins or later.
TEST_P(ProcessEnds, WhenItWasAskedBeforeItLooked) {
  for (bool const early : {true, false}) {
    trace_.clear();
    support::Gate gate;
    auto process = start_process<look_once>(options_, gate.path());
    if (early) process.request_stop();
    ASSERT_TRUE(noted(trace_));
    if (!early) process.request_stop();
    // What the dispatcher had to do before, it has done when another process has come and gone.
    start_process<nothing>(options_).join();
    gate.open();
    EXPECT_TRUE(process.get()) << early;
  }
}

TEST_P(ProcessEnds, InItsDestructorWhichAsksIt) {
  pid_t pid = 0;
  {
    auto process = start_process<run_until_asked>(options_);
    pid = process.pid();
  }
  EXPECT_FALSE(support::alive(pid));
}

TEST_P(ProcessEnds, InItsDestructorWhichKillsADaemon) {
  options_.at_exit = End::kill;
  support::Stopwatch watch;
  pid_t pid = 0;
  {
    auto process = start_process<pause_for_ever>(options_, 0);
    pid = process.pid();
  }
  EXPECT_FALSE(support::alive(pid));
  EXPECT_LT(watch.passed(), 5s);
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessEnds, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(ProcessEnd, KillsWhenAnExceptionUnwinds) {
  support::Trace trace;
  support::Stopwatch watch;
  pid_t pid = 0;
  try {
    auto const process = start_process<pause_for_ever>(0);
    pid = process.pid();
    ASSERT_TRUE(noted(trace));
    throw std::runtime_error("on its way");
  } catch (std::runtime_error const&) {
  }
  EXPECT_FALSE(support::alive(pid));
  EXPECT_LT(watch.passed(), 5s);
}

// Made while an exception unwinds already, it is joined as ever.
TEST(ProcessEnd, DoesNotKillForAnExceptionThatWasThereBefore) {
  support::Trace trace;
  struct JoinsOne {
    std::string& how;
    ~JoinsOne() {
      auto process = start_process<run_until_asked>();
      process.request_stop();
      how = process.get();
    }
  };
  std::string how;
  try {
    JoinsOne const joins{how};
    throw std::runtime_error("on its way");
  } catch (std::runtime_error const&) {
  }
  EXPECT_EQ(how, "asked");
}

TEST(ProcessEnd, SignalsNobodyAfterwards) {
  auto process = start_process<nothing>();
  process.join();
  EXPECT_NO_THROW(process.kill());
  EXPECT_NO_THROW(process.terminate());
  EXPECT_NO_THROW(process.signal(SIGUSR1));
  EXPECT_NO_THROW(process.request_stop());
  EXPECT_EQ(process.exit_status(), 0);
}

TEST(ProcessEnd, RefusesASignalThatIsNone) {
  support::Gate gate;
  auto process = start_process<support::wait_at>(gate.path());
  EXPECT_THROW(process.signal(1'000), std::system_error);
  gate.open();
  process.join();
  EXPECT_EQ(process.exit_status(), 0);
}

TEST(ProcessEnd, TellsWhatItWaitsFor) {
  support::Gate gate;
  std::thread opener([&] {
    std::this_thread::sleep_for(11s);
    gate.open();
  });
  testing::internal::CaptureStderr();
  pid_t pid = 0;
  {
    auto const process = start_process<support::wait_at>({.name = "slow"}, gate.path());
    pid = process.pid();
  }
  std::string const text = testing::internal::GetCapturedStderr();
  opener.join();
  EXPECT_NE(text.find("process \"slow\" (pid " + std::to_string(pid) +
                      ") is being joined and has not ended yet"),
            std::string::npos)
      << text;
}

// Nobody looked at the error. Its owner who has killed a process knows how it ends.
TEST(ProcessEnd, LogsAnErrorThatNobodySaw) {
  support::CapturedStderr const log;
  auto const has = [&](char const* text) { return log.text().find(text) != std::string::npos; };
  {
    auto const killed = start_process<pause_for_ever>({.at_exit = End::kill}, 0);
  }
  start_process<fail>(1).join();
  EXPECT_TRUE(support::until([&] { return has("not here"); })) << log.text();
  EXPECT_FALSE(has("SIGKILL")) << log.text();
}

// The program ends in any way: nothing of its processes is left.
class ProcessOfAProgram : public testing::TestWithParam<char const*> {};

TEST_P(ProcessOfAProgram, EndsWithIt) {
  for (std::string const how : {"kill", "exit", "_exit", "return"}) {
    support::Program program(support::program_path("has_processes"), {GetParam()});
    ASSERT_TRUE(program.wrote_lines(3)) << program.output();
    std::vector<pid_t> pids;
    for (std::string const& line : program.lines()) pids.push_back(std::atoi(line.c_str()));
    ASSERT_EQ(pids.size(), 3u);
    for (pid_t const pid : pids) ASSERT_TRUE(support::alive(pid)) << pid;
    how == "kill" ? program.kill(SIGKILL) : program.say(how);
    ASSERT_TRUE(program.wait(20s)) << how;
    for (pid_t const pid : pids) {
      EXPECT_TRUE(support::until([&] { return !support::alive(pid); })) << how;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessOfAProgram, testing::Values("spawn", "forkserver"),
                         [](auto const& test) {
                           return test.param == std::string("spawn") ? "Spawned" : "Forked";
                         });
