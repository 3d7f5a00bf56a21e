// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// DeathLog: each death has a line, and a flood of them a number.

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "parent/death_log.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

struct Parts {
  std::vector<std::string> lines;
  DeathLog log{"p", [this](std::string const& line) { lines.push_back(line); }};
  DeathLog::TimePoint now{};
};

TEST(DeathLog, EachHasALine) {
  Parts parts;
  for (int i = 0; i < 5; ++i) {
    parts.log.add("worker " + std::to_string(i) + " left", parts.now += 50ms);
  }
  ASSERT_EQ(parts.lines.size(), 5u);
  EXPECT_EQ(parts.lines[3], "pool \"p\": worker 3 left");
  EXPECT_FALSE(parts.log.flush(parts.now));
}

TEST(DeathLog, ManyInASecondAreANumberAtItsEnd) {
  Parts parts;
  for (unsigned i = 0; i < DeathLog::max_lines + 7; ++i) parts.log.add("w", parts.now);
  EXPECT_EQ(parts.lines.size(), DeathLog::max_lines);
  EXPECT_EQ(parts.log.flush(parts.now + 1ms), parts.now + DeathLog::interval);
  EXPECT_EQ(parts.lines.size(), DeathLog::max_lines);
  EXPECT_FALSE(parts.log.flush(parts.now + DeathLog::interval));
  ASSERT_EQ(parts.lines.size(), DeathLog::max_lines + 1);
  EXPECT_EQ(parts.lines.back(), "pool \"p\": 7 more workers have died");
  parts.log.add("next", parts.now + DeathLog::interval);
  EXPECT_EQ(parts.lines.back(), "pool \"p\": next");
}

TEST(DeathLog, TheNextDeathTellsTheNumberFirst) {
  Parts parts;
  for (unsigned i = 0; i < DeathLog::max_lines + 1; ++i) parts.log.add("w", parts.now);
  parts.log.add("next", parts.now + DeathLog::interval);
  ASSERT_EQ(parts.lines.size(), DeathLog::max_lines + 2);
  EXPECT_EQ(parts.lines[DeathLog::max_lines], "pool \"p\": 1 more workers have died");
}

TEST(DeathLog, TheEndOfThePoolTellsTheNumber) {
  Parts parts;
  parts.log.finish();
  EXPECT_TRUE(parts.lines.empty());
  for (unsigned i = 0; i < DeathLog::max_lines + 2; ++i) parts.log.add("w", parts.now);
  parts.log.finish();
  EXPECT_EQ(parts.lines.back(), "pool \"p\": 2 more workers have died");
}

}  // namespace
}  // namespace procpool::parent
