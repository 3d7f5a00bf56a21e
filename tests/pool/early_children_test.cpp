// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Children that static initialisation starts in a worker have nothing of the worker's: not the
// mark, by which they would be workers themselves, and not the socket, by which they would take the
// program's greeting.

#include <gtest/gtest.h>

#include <string>

#include "support/program.hpp"

namespace {

class EarlyChildren : public ::testing::TestWithParam<std::string> {};

TEST_P(EarlyChildren, InheritNeitherTheMarkNorDescriptors) {
  support::Program program(support::program_path("has_early_children"), {GetParam()});
  program.end_input();
  ASSERT_TRUE(program.wait()) << program.output();
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  EXPECT_EQ(program.output(), "main\nexecuted: mark none\nforked: has no 3\n");
}

TEST_P(EarlyChildren, ThatAreOnlyForkedDoNotBecomeWorkersToo) {
  support::Program program(support::program_path("has_early_children"), {"twins", GetParam()});
  program.end_input();
  ASSERT_TRUE(program.wait()) << program.output();
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  EXPECT_EQ(program.output(), "main\n");
}

INSTANTIATE_TEST_SUITE_P(BothStarts, EarlyChildren, ::testing::Values("spawn", "forkserver"),
                         [](auto const& given) { return given.param; });

}  // namespace
