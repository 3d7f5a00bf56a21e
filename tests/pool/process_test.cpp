// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A function in a process of its own: what it is given, what comes back, and what the process has
// of its options.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <procpool.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Output;
using procpool::Process;
using procpool::ProcessOptions;
using procpool::Start;
using procpool::start_process;
using tasks::add;
using tasks::boxed;
using tasks::echo;
using tasks::fail;
using tasks::nothing;
using tasks::square;
using tasks::who;

struct Greeter {
  std::string greeting;
  std::string operator()(std::string const& name) const { return greeting + ", " + name; }
};

std::string variable(std::string const& name) {
  char const* const value = std::getenv(name.c_str());
  return value == nullptr ? "(unset)" : value;
}

std::string kernel_name() { return support::read_text("/proc/self/comm"); }
std::string title_at(std::string const& gate) {
  support::wait_at(gate);
  return {};
}

long open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<long>(limit.rlim_cur);
}

int index_of_worker() { return procpool::worker_index(); }

struct OwnError : std::runtime_error {
  OwnError() : std::runtime_error("an own error") {}
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
void throw_own_error() { throw OwnError(); }

struct Stubborn {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::runtime_error("it stays here");
  }
};
void take_stubborn(Stubborn const&) {}

int prints(int x) {
  std::printf("printed %d\n", x);
  return x;
}

class ProcessStart : public testing::TestWithParam<Start> {
 protected:
  ProcessOptions options_{.start = GetParam()};
};

}  // namespace

TEST_P(ProcessStart, ReturnsWhatTheFunctionReturns) {
  Process process{options_, square, 12};
  EXPECT_EQ(process.get(), 144);
  process.join();
  EXPECT_EQ(process.exit_status(), 0);
  EXPECT_EQ(process.exit_signal(), std::nullopt);
  EXPECT_FALSE(process.alive());
}

TEST_P(ProcessStart, RunsInTheProcessThatItNames) {
  auto process = start_process<who>(options_);
  EXPECT_NE(process.pid(), ::getpid());
  pid_t const pid = process.pid();
  EXPECT_EQ(process.get(), pid);
}

TEST_P(ProcessStart, EachHasAProcessOfItsOwn) {
  std::set<pid_t> pids;
  for (int i = 0; i < 5; ++i) pids.insert(start_process<who>(options_).get());
  EXPECT_EQ(pids.size(), 5u);
}

TEST_P(ProcessStart, IsThereWhenTheConstructorReturns) {
  support::Gate gate;
  auto process = start_process<support::wait_at>(options_, gate.path());
  EXPECT_TRUE(support::alive(process.pid()));
  EXPECT_TRUE(process.alive());
  EXPECT_EQ(process.exit_status(), std::nullopt);
  EXPECT_FALSE(process.join_for(1ms));
  gate.open();
  EXPECT_TRUE(process.join_for(support::patience));
  EXPECT_FALSE(support::alive(process.pid()));
}

TEST_P(ProcessStart, HasTheVariablesOfItsOptions) {
  options_.environment = {{"PROCESS_TEST", "one"}, {"HOME", "/nowhere"}};
  EXPECT_EQ(start_process<variable>(options_, "PROCESS_TEST").get(), "one");
  EXPECT_EQ(start_process<variable>(options_, "HOME").get(), "/nowhere");
  options_.environment.clear();
  EXPECT_EQ(start_process<variable>(options_, "PROCESS_TEST").get(), "(unset)");
}

TEST_P(ProcessStart, HasTheLimitsOfItsOptions) {
  options_.limits.open_files = 50;
  EXPECT_EQ(start_process<open_files>(options_).get(), 50);
  options_.limits.open_files.reset();
  EXPECT_EQ(start_process<open_files>(options_).get(), open_files());
}

TEST_P(ProcessStart, HasItsName) {
  options_.name = "reader";
  EXPECT_EQ(start_process<kernel_name>(options_).get(), "reader\n");
  support::Gate gate;
  auto process = start_process<title_at>(options_, gate.path());
  EXPECT_TRUE(support::until([&] {
    auto const title = support::read_text(support::proc(process.pid(), "cmdline"));
    return title.find("[reader] title_at") != std::string::npos;
  })) << support::read_text(support::proc(process.pid(), "cmdline"));
  gate.open();
}

TEST_P(ProcessStart, DropsItsOutput) {
  options_.output = Output::drop;
  testing::internal::CaptureStdout();
  start_process<prints>(options_, 3).join();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST_P(ProcessStart, CapturesItsOutput) {
  options_.output = Output::capture;
  auto process = start_process<prints>(options_, 4);
  EXPECT_EQ(process.output(), "printed 4\n");
  EXPECT_EQ(process.get(), 4);
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessStart, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(Process, TakesWhatSubmitTakes) {
  EXPECT_EQ((Process{add, 1, 2}.get()), 3);
  EXPECT_EQ((Process{[](std::string const& text) { return text.size(); }, "four"}.get()), 4u);
  EXPECT_EQ((Process{Greeter{"hello"}, "you"}.get()), "hello, you");
  EXPECT_EQ((Process{procpool::bind_back(add, 10), 5}.get()), 15);
  EXPECT_EQ((Process{procpool::fn<square>, 5}.get()), 25);
  EXPECT_EQ(*start_process<boxed>(7).get(), 7);
  std::string const large(3'000'000, 'x');
  EXPECT_EQ(start_process<echo>(large).get(), large);
}

TEST(Process, DeducesItsType) {
  static_assert(std::is_same_v<decltype(Process{square, 1}), Process<int>>);
  static_assert(
      std::is_same_v<decltype(Process{{.name = "named"}, echo, "text"}), Process<std::string>>);
  static_assert(std::is_same_v<decltype(start_process<nothing>()), Process<void>>);
  static_assert(!std::is_copy_constructible_v<Process<int>>);
  static_assert(std::is_nothrow_move_constructible_v<Process<int>>);
  Process named{{.name = "named"}, echo, "text"};
  EXPECT_EQ(named.get(), "text");
  start_process<nothing>().get();
}

TEST(Process, ThrowsWhatTheFunctionThrows) {
  Process process{fail, 1};
  EXPECT_THROW(process.get(), std::out_of_range);
  process.join();
  EXPECT_EQ(process.exit_status(), 1);
}

TEST(Process, ThrowsAListedExceptionAsItself) {
  auto process =
      start_process<throw_own_error>({.exceptions = procpool::exception_types<OwnError>()});
  EXPECT_THROW(process.get(), OwnError);
}

TEST(Process, JoinThrowsNothingOfTheFunctions) {
  Process process{fail, 1};
  EXPECT_NO_THROW(process.join());
  EXPECT_NO_THROW(process.join());
  EXPECT_THROW(process.get(), std::out_of_range);
  EXPECT_THROW(process.get(), std::logic_error);
}

TEST(Process, HasTheEnvironmentOfThatMoment) {
  start_process<nothing>().join();
  ::setenv("PROCESS_TEST_LATE", "late", 1);
  EXPECT_EQ(start_process<variable>("PROCESS_TEST_LATE").get(), "late");
  ::unsetenv("PROCESS_TEST_LATE");
  EXPECT_EQ(start_process<variable>("PROCESS_TEST_LATE").get(), "(unset)");
}

TEST(Process, HardenedHasLittleOfTheEnvironment) {
  ::setenv("PROCESS_TEST_SECRET", "secret", 1);
  EXPECT_EQ(start_process<variable>({.harden = true}, "PROCESS_TEST_SECRET").get(), "(unset)");
  ::unsetenv("PROCESS_TEST_SECRET");
}

TEST(Process, InheritsTheOutputOfTheProgram) {
  testing::internal::CaptureStdout();
  start_process<prints>(5).join();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "printed 5\n");
}

TEST(Process, IsTheOnlyWorkerOfItsOwn) { EXPECT_EQ(start_process<index_of_worker>().get(), 0); }

TEST(Process, IsMovedWithItsProcess) {
  support::Gate gate;
  auto first = start_process<support::wait_at>(gate.path());
  pid_t const pid = first.pid();
  auto second = std::move(first);
  EXPECT_EQ(second.pid(), pid);
  EXPECT_THROW(static_cast<void>(first.pid()), std::logic_error);
  EXPECT_THROW(first.join(), std::logic_error);
  EXPECT_THROW(first.kill(), std::logic_error);
  gate.open();
  second.join();
  first = start_process<support::wait_at>(gate.path());
  first.join();
}

TEST(Process, AssignmentEndsTheOneThatIsReplaced) {
  support::Gate gate;
  ProcessOptions const daemon{.at_exit = procpool::End::kill};
  auto process = start_process<support::wait_at>(daemon, gate.path());
  pid_t const first = process.pid();
  process = start_process<support::wait_at>(daemon, gate.path());
  EXPECT_FALSE(support::alive(first));
  EXPECT_TRUE(process.alive());
}

TEST(Process, RefusesOptionsThatMakeNoSense) {
  EXPECT_TRUE(support::says(support::thrown_by<std::invalid_argument>(
                                [] { start_process<nothing>({.name = "two\nlines"}).join(); }),
                            "ProcessOptions::name has a control character"));
  EXPECT_THROW(start_process<nothing>({.start = Start::in_process}).join(), std::invalid_argument);
  EXPECT_THROW(start_process<nothing>({.timeout = 0ms}).join(), std::invalid_argument);
  EXPECT_THROW(start_process<nothing>({.limits = {.memory = 1}}).join(), std::invalid_argument);
  EXPECT_THROW(start_process<nothing>({.environment = {{"a=b", "c"}}}).join(),
               std::invalid_argument);
  EXPECT_THROW(start_process<nothing>({.start = Start::forkserver, .harden = true}).join(),
               std::invalid_argument);
}

// The place that it was given is free again.
TEST(Process, IsNotStartedIfAnArgumentCannotBeEncoded) {
  // More often than there can be processes at a time.
  for (int i = 0; i < 4'200; ++i) {
    ASSERT_THROW(start_process<take_stubborn>(Stubborn{}).join(), std::runtime_error);
  }
  EXPECT_EQ(start_process<square>(2).get(), 4);
}
