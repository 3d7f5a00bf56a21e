// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The lines of a pool, from one view to the next.

#include "top/pool_table.hpp"

#include <gtest/gtest.h>

#include "top/columns.hpp"

namespace procpool::top {
namespace {

using namespace std::chrono_literals;
using protocol::LiveView;
using protocol::LiveWorker;

constexpr std::uint64_t second = 1'000'000'000;

LiveView view(std::uint64_t time) {
  LiveView view;
  view.pool = "words";
  view.time = time;
  view.wanted = 2;
  view.ready = 1;
  view.done = 1000;
  view.workers.resize(2);
  view.workers[0].pid = 41;
  view.workers[0].starts = 1;
  view.workers[0].done = 1000;
  view.workers[1].place = 1;
  view.workers[1].last_end = "killed by signal 9 (SIGKILL)";
  return view;
}

bool has(std::string const& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(PoolTable, ShowsThePoolAndEachPlace) {
  PoolTable table;
  table.update(view(second), {{41, Usage{1s, 5u << 20}}});
  auto const lines = table.lines();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_TRUE(has(lines[0], "pool \"words\"  1 of 2 workers")) << lines[0];
  EXPECT_TRUE(has(lines[0], "done 1,000")) << lines[0];
  EXPECT_FALSE(has(lines[0], "/s")) << "one view has no rate: " << lines[0];
  EXPECT_TRUE(has(lines[3], "5.0M")) << lines[3];
  EXPECT_TRUE(has(lines[3], "idle")) << lines[3];
  EXPECT_TRUE(has(lines[4], "no worker: killed by signal 9")) << lines[4];
}

TEST(PoolTable, RatesAreThoseSinceTheViewBefore) {
  PoolTable table;
  table.update(view(second), {{41, Usage{1s, 0}}});
  LiveView next = view(3 * second);
  next.done = 3000;
  next.workers[0].done = 2600;
  table.update(next, {{41, Usage{2s, 0}}});
  auto const lines = table.lines();
  EXPECT_TRUE(has(lines[0], "done 3,000  1,000/s")) << lines[0];
  EXPECT_TRUE(has(lines[3], " 50.0 ")) << "a second of two: " << lines[3];
  EXPECT_TRUE(has(lines[3], " 800 ")) << lines[3];
}

TEST(PoolTable, AnElementIsShownSinceItWasSeen) {
  PoolTable table;
  LiveView running = view(second);
  LiveWorker& worker = running.workers[0];
  worker.runs = true;
  worker.task = 7;
  worker.element = 12;
  worker.label = "count";
  worker.steps = 3;
  worker.all_steps = 50;
  table.update(running, {});
  EXPECT_TRUE(has(table.lines()[3], "\"count\": element 12 of call 7, 3 of 50"))
      << table.lines()[3];
  running.time = 4 * second;
  table.update(running, {});
  EXPECT_TRUE(has(table.lines()[3], "element 12 of call 7, for 3.0 s")) << table.lines()[3];
  running.time = 5 * second;
  running.workers[0].element = 13;
  table.update(running, {});
  EXPECT_FALSE(has(table.lines()[3], " for ")) << "another element: " << table.lines()[3];
}

TEST(Columns, LinesAreCutBetweenCharacters) {
  EXPECT_EQ(fit("pool \"w\u00f6rter\"", 8), "pool \"w\u00f6");
  EXPECT_EQ(fit("pool", 4), "pool");
  EXPECT_EQ(fit("pool", 0), "");
}

TEST(Columns, WideCharactersTakeTwoAndAccentsNone) {
  EXPECT_EQ(fit("\u6f22\u5b57\u6f22\u5b57", 4), "\u6f22\u5b57");
  EXPECT_EQ(fit("\u6f22\u5b57", 3), "\u6f22");
  EXPECT_EQ(fit("\U0001f600x", 2), "\U0001f600");
  EXPECT_EQ(fit("e\u0301xy", 2), "e\u0301x");
}

TEST(PoolTable, NothingReachesTheTerminalThatItActsOn) {
  PoolTable table;
  LiveView hostile = view(second);
  hostile.pool = "a\x1b[2Jb\n";
  hostile.workers[1].last_end = "\x1b]0;title\x07";
  table.update(hostile, {});
  for (std::string const& line : table.lines()) {
    for (char const c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20u) << line;
  }
}

// Another process wrote the view.
TEST(PoolTable, NumbersThatCannotBeAreNoHarm) {
  PoolTable table;
  table.update(view(2 * second), {{41, Usage{2s, 0}}});
  LiveView earlier = view(second);
  earlier.done = 0;
  earlier.workers[0].done = 0;
  earlier.waited_mean = ~std::uint64_t{0};
  earlier.workers.pop_back();
  table.update(earlier, {{41, Usage{1s, 0}}});
  EXPECT_EQ(table.lines().size(), 4u);
}

TEST(PoolTable, WritesTimesAndNumbers) {
  EXPECT_EQ(duration_text(0ns), "0 s");
  EXPECT_EQ(duration_text(999ns), "999.0 ns");
  EXPECT_EQ(duration_text(1500us), "1.5 ms");
  EXPECT_EQ(duration_text(90s), "1.5 min");
  EXPECT_EQ(duration_text(36h), "36.0 h");
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(999), "999");
  EXPECT_EQ(number_text(1000), "1,000");
  EXPECT_EQ(number_text(1234567), "1,234,567");
}

}  // namespace
}  // namespace procpool::top
