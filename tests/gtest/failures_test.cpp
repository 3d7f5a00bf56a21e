// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Failed assertions in tasks. Tests that are to fail are disabled ones, which other tests run by
// themselves: this program once more.

#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest-spi.h>
#include <procpool.hpp>
#include <procpool/gtest.hpp>

namespace {

int expect_even(int n) {
  EXPECT_EQ(n % 2, 0) << "odd: " << n;
  return n;
}

void assert_even(int n) { ASSERT_EQ(n % 2, 0) << "odd: " << n; }

void expect_and_die(int n) {
  EXPECT_EQ(n % 2, 0) << "last words";
  ::raise(SIGKILL);
}

int ask_inner_pool(int n) {
  procpool::ProcessPool pool{1};
  return pool.call<expect_even>(n);
}

struct Ended {
  int status;
  std::string output;
};

// This program, with one of its disabled tests alone.
Ended run_disabled(std::string const& test) {
  std::string const command = "timeout 60 '" + std::string(std::getenv("PROCPOOL_THIS_PROGRAM")) +
                              "' --gtest_also_run_disabled_tests --gtest_filter=" + test + " 2>&1";
  Ended ended{-1, {}};
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return ended;
  std::array<char, 4096> some{};
  while (std::size_t const got = std::fread(some.data(), 1, some.size(), pipe)) {
    ended.output.append(some.data(), got);
  }
  int const status = ::pclose(pipe);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

bool const path_is_noted = [] {
  std::array<char, 4096> path{};
  if (::readlink("/proc/self/exe", path.data(), path.size() - 1) <= 0) return false;
  return ::setenv("PROCPOOL_THIS_PROGRAM", path.data(), 1) == 0;
}();

TEST(GtestFailures, ATaskThatPassesAddsNothing) {
  procpool::ProcessPool pool{2};
  pool.map<expect_even>(std::vector{2, 4, 6});
  procpool::report_worker_failures();
  EXPECT_FALSE(HasFailure());
}

TEST(GtestFailures, AFailedExpectIsAFailureHereAndTheTaskGoesOn) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<expect_even>(3), 3);
  EXPECT_NONFATAL_FAILURE(procpool::report_worker_failures(), "odd: 3");
  procpool::report_worker_failures();  // once
  pool.call<expect_even>(5);
  EXPECT_NONFATAL_FAILURE(procpool::report_worker_failures(), "in worker 0, process ");
}

TEST(GtestFailures, AFailedAssertIsAFatalOne) {
  procpool::ProcessPool pool{1};
  pool.call<assert_even>(3);
  static bool came_back = false;
  EXPECT_FATAL_FAILURE(
      {
        procpool::report_worker_failures();
        came_back = true;
      },
      "odd: 3");
  EXPECT_TRUE(came_back);
}

TEST(GtestFailures, ItIsKeptWhenTheWorkerDies) {
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.call<expect_and_die>(3), procpool::WorkerDied);
  EXPECT_NONFATAL_FAILURE(procpool::report_worker_failures(), "last words");
}

TEST(GtestFailures, EachOfManyWorkersIsHeard) {
  procpool::ProcessPool pool{4};
  std::vector<int> const odd(40, 1);
  pool.map<expect_even>(odd);
  testing::TestPartResultArray failures;
  {
    testing::ScopedFakeTestPartResultReporter const reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
    procpool::report_worker_failures();
  }
  ASSERT_EQ(failures.size(), 40);
  for (int i = 0; i < failures.size(); ++i) {
    EXPECT_STREQ(failures.GetTestPartResult(i).file_name(), __FILE__);
    EXPECT_GT(failures.GetTestPartResult(i).line_number(), 0);
  }
}

TEST(GtestFailures, AForkServerAndAPoolInATaskPassThemOn) {
  procpool::ProcessPool forking{{.workers = 1, .start = {.method = procpool::Start::forkserver}}};
  forking.call<expect_even>(7);
  EXPECT_NONFATAL_FAILURE(procpool::report_worker_failures(), "odd: 7");
  forking.call<ask_inner_pool>(9);
  EXPECT_NONFATAL_FAILURE(procpool::report_worker_failures(), "odd: 9");
}

// Its environment does not tell where the program keeps them.
TEST(GtestFailures, AHardenedWorkerThrowsThem) {
  procpool::ProcessPool pool{{.workers = 1, .harden = true}};
  try {
    pool.call<expect_even>(3);
    ADD_FAILURE() << "it threw nothing";
  } catch (std::exception const& error) {
    EXPECT_NE(std::string(error.what()).find("odd: 3"), std::string::npos) << error.what();
  }
}

TEST(GtestFailures, DISABLED_FailsInATask) {
  procpool::ProcessPool pool{1};
  pool.call<expect_even>(3);
}

TEST(GtestFailures, DISABLED_PassesInATask) {
  procpool::ProcessPool pool{1};
  pool.call<expect_even>(4);
}

void write_junk(int) {
  FILE* const file = std::fopen(std::getenv("PROCPOOL_GTEST_FAILURES"), "a");
  std::fputs("something else, and more than a header of it has bytes", file);
  std::fclose(file);
}

TEST(GtestFailures, DISABLED_WritesJunk) {
  procpool::ProcessPool pool{1};
  pool.call<write_junk>(3);
  pool.call<expect_even>(4);
}

TEST(GtestFailures, ATestWhoseTaskFailsIsATestThatFails) {
  auto const failed = run_disabled("GtestFailures.DISABLED_FailsInATask");
  EXPECT_EQ(failed.status, 1) << failed.output;
  EXPECT_NE(failed.output.find("failures_test.cpp"), std::string::npos) << failed.output;
  EXPECT_NE(failed.output.find("odd: 3"), std::string::npos) << failed.output;
  // Told by the program alone.
  EXPECT_EQ(failed.output.find("odd: 3"), failed.output.rfind("odd: 3")) << failed.output;
  auto const passed = run_disabled("GtestFailures.DISABLED_PassesInATask");
  EXPECT_EQ(passed.status, 0) << passed.output;
}

TEST(GtestFailures, JunkOfAWorkerIsAFailureToo) {
  auto const junk = run_disabled("GtestFailures.DISABLED_WritesJunk");
  EXPECT_EQ(junk.status, 1) << junk.output;
  EXPECT_NE(junk.output.find("no failure of an assertion"), std::string::npos) << junk.output;
}

}  // namespace
