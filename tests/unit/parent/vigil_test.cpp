// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Which workers make no progress: each decision rests on several looks that show the same.
#include "parent/vigil.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <functional>
#include <string>

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using Action = Vigil::Decision::Action;

class VigilTest : public ::testing::Test, public Vigil::Process {
 protected:
  VigilTest() {
    activity_.known = true;
    duty_.due = true;
  }

  os::Activity activity() const override {
    ++looks_;
    return activity_;
  }
  std::uint64_t deadlock() const override { return deadlock_; }
  std::uint64_t main_futex() const override { return main_futex_; }
  bool traced_by_parent(pid_t tracer) const override { return tracer == parent_; }

  Vigil::Decision look() {
    now_ = std::max(now_ + 1ms, vigil_.next());
    return vigil_.look(now_, duty_, *this);
  }
  // The number of the first look that decides something; 0: none of the first 100 does.
  int looks_until_decision() {
    for (int i = 1; i <= 100; ++i) {
      decision_ = look();
      if (decision_.action != Action::none) return i;
    }
    return 0;
  }

  Vigil vigil_{500ms};
  Vigil::TimePoint now_{1h};
  Vigil::Duty duty_;
  os::Activity activity_;
  std::uint64_t deadlock_ = 0;
  std::uint64_t main_futex_ = 0;
  pid_t parent_ = 100;
  Vigil::Decision decision_;
  mutable int looks_ = 0;
};

TEST_F(VigilTest, LeavesAWorkerAloneThatComputes) {
  duty_.owes = duty_.runs = true;
  main_futex_ = 7;
  activity_.main_ticks = 1'000'000;
  EXPECT_EQ(looks_until_decision(), 0);
}

TEST_F(VigilTest, DoesNotLookWithoutADuty) {
  duty_.due = false;
  activity_.stopped = true;
  EXPECT_EQ(looks_until_decision(), 0);
  EXPECT_EQ(looks_, 0);
  EXPECT_LT(vigil_.next(), now_);
}

TEST_F(VigilTest, LooksFourTimesASecond) {
  look();
  EXPECT_EQ(vigil_.next(), now_ + 250ms);
}

TEST_F(VigilTest, AccusesNobodyOfWhatIsNotKnown) {
  activity_.known = false;
  activity_.stopped = true;
  deadlock_ = 5;
  EXPECT_EQ(looks_until_decision(), 0);
}

TEST_F(VigilTest, ProgressBeginsANewRow) {
  activity_.stopped = true;
  for (int i = 0; i < 50; ++i) {
    ++duty_.progress;
    for (int j = 0; j < 3; ++j) ASSERT_EQ(look().action, Action::none);
  }
}

// ---- stopped

TEST_F(VigilTest, ResumesAStoppedWorker) {
  activity_.stopped = true;
  activity_.signal = SIGSTOP;
  EXPECT_EQ(looks_until_decision(), 4);
  EXPECT_EQ(decision_.action, Action::resume);
  EXPECT_EQ(decision_.text,
            "was stopped by SIGSTOP while it had something to do, and was continued");
  EXPECT_EQ(looks_until_decision(), 3) << "and again";
}

TEST_F(VigilTest, KillsAWorkerThatTheTerminalStopped) {
  activity_.stopped = true;
  activity_.signal = SIGTTIN;
  EXPECT_EQ(looks_until_decision(), 4);
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text, "it was stopped by SIGTTIN");
}

TEST_F(VigilTest, WaitsForADebuggerAndSaysSoOnce) {
  activity_.stopped = true;
  activity_.tracer = 200;
  EXPECT_EQ(looks_until_decision(), 4);
  EXPECT_EQ(decision_.action, Action::report);
  EXPECT_EQ(decision_.text, "was stopped by process 200, which traces it; it is waited for");
  EXPECT_EQ(looks_until_decision(), 0);
  ++duty_.progress;
  EXPECT_EQ(looks_until_decision(), 0) << "nor after some progress";
}

TEST_F(VigilTest, KillsAWorkerThatHasUsTraceIt) {
  activity_.stopped = true;
  activity_.signal = SIGTRAP;
  activity_.tracer = parent_;
  EXPECT_EQ(looks_until_decision(), 4);
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_NE(decision_.text.find("PTRACE_TRACEME"), std::string::npos) << decision_.text;
}

TEST_F(VigilTest, AMomentOfRunningBeginsANewRowOfStops) {
  for (int i = 0; i < 30; ++i) {
    activity_.stopped = i % 3 != 0;
    EXPECT_EQ(look().action, Action::none);
  }
}

// ---- exits

TEST_F(VigilTest, KillsAWorkerThatHangsInItsCrashReport) {
  duty_.crashes = true;
  EXPECT_EQ(looks_until_decision(), 14);  // three seconds
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text, "it hung while it reported a crash");
}

TEST_F(VigilTest, ACoreDumpMayTakeLong) {
  duty_.crashes = true;
  activity_.dumps_core = true;
  EXPECT_EQ(looks_until_decision(), 0);
}

TEST_F(VigilTest, KillsAWorkerThatHangsInExit) {
  duty_.exit_hint = channel::ExitHint::exiting;
  EXPECT_EQ(looks_until_decision(), 4);  // half a second
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text,
            "it was in the middle of exit() and did not come to its end within 500 ms");
}

TEST_F(VigilTest, AWorkerThatWasAskedToExitHasAnotherLimit) {
  duty_.exit_hint = channel::ExitHint::left;
  duty_.exits = true;
  EXPECT_EQ(looks_until_decision(), 0);
}

TEST_F(VigilTest, AWorkerThatRetiresDoesNotExit) {
  duty_.exit_hint = channel::ExitHint::retiring;
  EXPECT_EQ(looks_until_decision(), 0);
}

// ---- asleep, or busy with nothing

TEST_F(VigilTest, KillsADeadlockedWorker) {
  deadlock_ = 5;
  EXPECT_EQ(looks_until_decision(), 5);
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text,
            "all its threads waited for a lock that none of them was left to release");
}

TEST_F(VigilTest, ADeadlockIsTheSameAtEachLook) {
  for (int i = 0; i < 50; ++i) {
    deadlock_ = i % 4 + 1;
    EXPECT_EQ(look().action, Action::none);
  }
}

TEST_F(VigilTest, NudgesAWorkerThatSleepsBeforeItKillsIt) {
  duty_.owes = true;
  main_futex_ = 9;
  EXPECT_EQ(looks_until_decision(), 4);
  EXPECT_EQ(decision_.action, Action::nudge);
  EXPECT_EQ(looks_until_decision(), 3);
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text, "it slept without beginning what it was given");
}

TEST_F(VigilTest, AWorkerThatOwesNothingMaySleep) {
  main_futex_ = 9;
  EXPECT_EQ(looks_until_decision(), 0);
}

TEST_F(VigilTest, KillsAWorkerThatSpinsBeforeItsElement) {
  duty_.owes = true;
  look();
  activity_.main_ticks = 499;
  EXPECT_EQ(looks_until_decision(), 0);
  activity_.main_ticks = 500;
  EXPECT_EQ(looks_until_decision(), 1);
  EXPECT_EQ(decision_.action, Action::kill);
  EXPECT_EQ(decision_.text, "it ran on without beginning what it was given");
}

}  // namespace
}  // namespace procpool::parent
