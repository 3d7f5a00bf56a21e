// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The counters of elements, workers and places.
#include "parent/tally.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>

#include "parent/exit_report.hpp"

namespace procpool::parent {
namespace {

TEST(Tally, GivesEachPlaceItsNumber) {
  Tally tally;
  tally.resize(2);
  tally.count_start(1, 77);
  tally.resize(4);
  tally.resize(1);  // no place goes: its counts are told to the end
  ASSERT_EQ(tally.workers().size(), 4u);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(tally.workers()[i].index, i);
  EXPECT_EQ(tally.workers()[1].pid, 77);
  EXPECT_EQ(tally.workers()[1].starts, 1u);
  EXPECT_EQ(tally.stats().worker_starts, 1u);
}

TEST(Tally, BelievesNoImpossibleTime) {
  Tally tally;
  tally.resize(1);
  for (int i = 0; i < 4; ++i) tally.count_answered(0, 2, std::uint64_t{1} << 62);
  EXPECT_EQ(tally.workers()[0].done, 8u);
  EXPECT_EQ(tally.workers()[0].busy.count(), std::int64_t{1} << 62);
}

TEST(Tally, CountsEndsOfElements) {
  Tally tally;
  tally.count_ended(3, false);
  tally.count_ended(2, true);
  tally.count_forced();
  EXPECT_EQ(tally.summary().done, 3u);
  EXPECT_EQ(tally.summary().cancelled, 2u);
  EXPECT_EQ(tally.summary().forced, 1u);
  tally.add_records(5);
  tally.remove_records(2);
  tally.count_retry();
  tally.count_failed_start();
  tally.count_marked_for_kill(true);
  tally.count_marked_for_kill(false);
  tally.count_marked_for_kill(false);
  EXPECT_EQ(tally.stats().records, 3u);
  EXPECT_EQ(tally.stats().retries, 1u);
  EXPECT_EQ(tally.stats().failed_starts, 1u);
  EXPECT_EQ(tally.stats().workers_cancelled, 1u);
  EXPECT_EQ(tally.stats().workers_timed_out, 2u);
}

TEST(Tally, CountsExitsByTheirReason) {
  using When = ExitReport::When;
  struct Row {
    When when;
    LeaveReason reason;
    bool killing;
    std::uint64_t deaths, recycled, idle, resized;
  };
  Row const rows[] = {
      {When::ready, LeaveReason::none, false, 1, 0, 0, 0},
      {When::ready, LeaveReason::none, true, 0, 0, 0, 0},
      {When::leaving, LeaveReason::recycled, false, 0, 1, 0, 0},
      {When::leaving, LeaveReason::idle, false, 0, 0, 1, 0},
      {When::leaving, LeaveReason::resized, false, 0, 0, 0, 1},
      {When::leaving, LeaveReason::with_pool, false, 0, 0, 0, 0},
      {When::leaving, LeaveReason::for_element, false, 0, 0, 0, 0},
  };
  for (Row const& row : rows) {
    SCOPED_TRACE(&row - rows);
    Tally tally;
    tally.resize(1);
    tally.count_start(0, 5);
    ExitReport report;
    report.when = row.when;
    report.leave_reason = row.reason;
    report.forced = row.when == When::leaving;
    tally.count_exit(0, report, "it exited", row.killing);
    EXPECT_EQ(tally.stats().worker_deaths, row.deaths);
    EXPECT_EQ(tally.stats().workers_recycled, row.recycled);
    EXPECT_EQ(tally.stats().workers_left_idle, row.idle);
    EXPECT_EQ(tally.stats().workers_resized, row.resized);
    EXPECT_EQ(tally.summary().forced, row.when == When::leaving ? 1u : 0u);
    EXPECT_EQ(tally.workers()[0].pid, 0);
    EXPECT_EQ(tally.workers()[0].last_end, "it exited");
  }
}

TEST(Tally, AmendsOnlyTheTextThatIsStillThere) {
  Tally tally;
  tally.resize(1);
  tally.count_exit(0, ExitReport{}, "was killed; more", false);
  tally.amend_last_end(0, "exited", "ended");
  EXPECT_EQ(tally.workers()[0].last_end, "was killed; more");
  tally.amend_last_end(0, "was killed", "was killed by the kernel");
  EXPECT_EQ(tally.workers()[0].last_end, "was killed by the kernel; more");
}

}  // namespace
}  // namespace procpool::parent
