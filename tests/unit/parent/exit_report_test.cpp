// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How a worker ended, in words, and who is to blame for it.
#include "parent/exit_report.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace {

namespace os = procpool::os;
using procpool::parent::ExitReport;
using procpool::parent::LeaveReason;
using procpool::parent::may_be_killed_externally;
using When = ExitReport::When;

TEST(ExitReport, SomebodyElseMayHaveKilledIt) {
  EXPECT_TRUE(may_be_killed_externally({os::Exit::Kind::signalled, SIGKILL}));
  EXPECT_TRUE(may_be_killed_externally({}))
      << "nothing is known of a worker whose parent was killed with it";
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::signalled, SIGSEGV}));
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::exited, 1}));
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::exited, 0}));
}

ExitReport report_of(When when, os::Exit const& exit) {
  ExitReport report;
  report.worker = 3;
  report.pid = 4711;
  report.when = when;
  report.exit = exit;
  return report;
}

TEST(ExitReport, SaysHowTheProcessEnded) {
  EXPECT_EQ(report_of(When::ready, {os::Exit::Kind::signalled, SIGSEGV}).text(),
            "worker 3 (pid 4711) was killed by SIGSEGV");
  EXPECT_EQ(report_of(When::ready, {os::Exit::Kind::exited, 3}).text(),
            "worker 3 (pid 4711) exited with status 3");
  EXPECT_EQ(report_of(When::ready, {}).text(),
            "worker 3 (pid 4711) ended, its status taken by somebody else");
}

TEST(ExitReport, SaysWhyItWasKilled) {
  ExitReport report = report_of(When::ready, {os::Exit::Kind::signalled, SIGKILL});
  report.cause = "it was stopped by SIGTTIN";
  EXPECT_EQ(report.text(), "worker 3 (pid 4711) was killed by SIGKILL: it was stopped by SIGTTIN");
}

TEST(ExitReport, SaysWhyItDidNotStart) {
  ExitReport report = report_of(When::starting, {os::Exit::Kind::exited, 1});
  EXPECT_EQ(report.text(), "worker 3 (pid 4711) exited with status 1 before its first word");
  report.cause = "no memory";
  EXPECT_EQ(report.text(),
            "worker 3 (pid 4711) exited with status 1 before its first word: no memory");
}

TEST(ExitReport, SaysHowItsInitializerFailed) {
  ExitReport report = report_of(When::initializing, {os::Exit::Kind::signalled, SIGKILL});
  report.failure = "std::runtime_error: no licence";
  EXPECT_EQ(report.text(),
            "worker 3 (pid 4711) was killed by SIGKILL in its initializer: std::runtime_error: no "
            "licence")
      << "by somebody else";
  report.killed = true;
  EXPECT_EQ(report.text(),
            "worker 3 (pid 4711) was ended, since its initializer has failed: std::runtime_error: "
            "no licence");
}

TEST(ExitReport, SaysWhyItWasAskedToLeave) {
  ExitReport report = report_of(When::leaving, {os::Exit::Kind::exited, 0});
  report.leave_reason = LeaveReason::with_pool;
  EXPECT_EQ(report.text(), "worker 3 (pid 4711) exited with status 0");
  report.leave_reason = LeaveReason::idle;
  EXPECT_EQ(report.text(), "worker 3 (pid 4711) exited with status 0, having been idle");
  report.departed = true;
  report.leave_reason = LeaveReason::recycled;
  EXPECT_EQ(report.text(), "worker 3 (pid 4711) left, replaced as planned");
}

}  // namespace
