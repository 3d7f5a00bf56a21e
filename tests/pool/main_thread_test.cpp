// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Programs whose main thread has ended while others go on.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/processes.hpp"
#include "support/program.hpp"

using namespace std::chrono_literals;

namespace {

class MainThread : public ::testing::TestWithParam<std::string> {};

TEST_P(MainThread, MayEndAndPoolsGoOn) {
  EXPECT_TRUE(support::succeeds("ends_its_main_thread", {"works", GetParam()}));
}

TEST_P(MainThread, MayEndAndTheWorkersEndWithTheProgram) {
  support::Program program(support::program_path("ends_its_main_thread"), {"waits", GetParam()});
  ASSERT_TRUE(program.wrote_lines(1)) << program.output();
  pid_t const worker = std::stoi(program.lines().front());
  // While the program lives, they do.
  EXPECT_FALSE(support::until([&] { return !support::alive(worker); }, 300ms)) << program.output();
  program.kill(SIGKILL);
  ASSERT_TRUE(program.wait());
  EXPECT_TRUE(support::until([&] { return !support::alive(worker); }, 5s));
  EXPECT_TRUE(program.output_ended(5s)) << "somebody is left";
}

INSTANTIATE_TEST_SUITE_P(BothStarts, MainThread, ::testing::Values("spawn", "forkserver"),
                         [](auto const& given) { return given.param; });

}  // namespace
