// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Processes that outlive the places of their workers: they are reaped, and ended when their time is
// over.

#include "parent/strays.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "parent/exit_report.hpp"
#include "parent/poll_keys.hpp"
#include "unit/parent/supervision_support.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using TimePoint = Strays::TimePoint;

class StraysTest : public testing::Test {
 protected:
  explicit StraysTest(std::chrono::milliseconds stop_grace = 60s)
      : parts_(with_grace(stop_grace)) {}

  // Adopts a child of worker 0 and returns its pid.
  pid_t adopt(std::function<void()> const& body, TimePoint deadline) {
    os::Child child = child_that(body);
    pid_t const pid = child.pid;
    ChildProcess process{pid, std::move(child.pidfd)};
    os::Cgroup cgroup;
    EXPECT_TRUE(strays_.adopt(0, process, cgroup, control_.get(), -1, deadline));
    EXPECT_FALSE(process.pidfd) << "it is the strays' now";
    return pid;
  }
  static bool reaped(pid_t pid) { return support::stat_of(pid).state == '\0'; }
  // Ticks, at this time, until the process is reaped.
  bool ticks_until_reaped(pid_t pid, TimePoint now) {
    return support::until([&] {
      strays_.tick(now);
      return reaped(pid);
    });
  }
  unsigned forced() const { return static_cast<unsigned>(parts_.core.end_summary().forced); }

  TimePoint const now_ = std::chrono::steady_clock::now();
  Supervision parts_;
  Strays& strays_ = parts_.strays;
  std::pair<os::UniqueFd, os::UniqueFd> sockets_ = os::socket_pair();
  os::UniqueFd& control_ = sockets_.first;
};

TEST_F(StraysTest, AProcessThatExitsIsReaped) {
  pid_t const pid = adopt([] { ::_exit(3); }, now_ + 1h);
  EXPECT_TRUE(strays_.any_exiting());
  EXPECT_EQ(parts_.events(), std::vector{key(what_stray, 0)});
  EXPECT_FALSE(reaped(pid));
  EXPECT_FALSE(strays_.reap());
  EXPECT_TRUE(reaped(pid));
  EXPECT_FALSE(strays_.any_exiting());
  EXPECT_EQ(forced(), 0u);
  EXPECT_EQ(strays_.tick(now_), std::nullopt);
}

TEST_F(StraysTest, TheExitStatusIsAddedToTheWorkersLastEnd) {
  ExitReport report;
  pid_t const pid = adopt([] { ::_exit(3); }, now_ + 1h);
  std::string const name = worker_name(0, pid);
  parts_.core.note_exit(0, report, name + " left, having been idle");
  parts_.events();
  strays_.reap();
  EXPECT_EQ(parts_.core.worker_stats().at(0).last_end,
            name + " exited with status 3, having been idle");
}

TEST_F(StraysTest, TheNextTickIsAtTheEarliestDeadline) {
  adopt([] {}, now_ + 3s);
  EXPECT_EQ(strays_.tick(now_), now_ + 3s);
  adopt([] {}, now_ + 2s);
  EXPECT_EQ(strays_.tick(now_), now_ + 2s);
}

TEST_F(StraysTest, AProcessThatDoesNotExitInTimeGetsSigterm) {
  pid_t const pid = adopt([] {}, now_ + 1s);
  strays_.tick(now_ + 1s - 1ms);
  EXPECT_TRUE(parts_.events(20ms).empty());
  strays_.tick(now_ + 1s);
  EXPECT_TRUE(ticks_until_reaped(pid, now_ + 2s));
  EXPECT_EQ(forced(), 0u);
}

TEST_F(StraysTest, AProcessThatIgnoresSigtermIsKilled) {
  pid_t const pid = adopt(ignore_sigterm, now_);
  EXPECT_EQ(strays_.tick(now_), now_ + 60s) << "it has the grace to end";
  EXPECT_TRUE(parts_.events(20ms).empty());
  EXPECT_TRUE(strays_.any_exiting());
  EXPECT_EQ(strays_.tick(now_ + 60s), now_ + 60s) << "the end of the pool waits for it";
  EXPECT_FALSE(strays_.any_exiting()) << "it is as good as gone";
  EXPECT_EQ(forced(), 1u);
  EXPECT_TRUE(ticks_until_reaped(pid, now_ + 60s));
  EXPECT_EQ(forced(), 1u);
}

TEST_F(StraysTest, HurriedProcessesAreKilledAtOnce) {
  pid_t const pid = adopt(ignore_sigterm, now_ + 1h);
  pid_t const stopped = adopt([] {}, now_ + 1h);
  ::kill(stopped, SIGSTOP);
  strays_.hurry(now_);
  strays_.tick(now_);
  EXPECT_FALSE(strays_.any_exiting());
  EXPECT_EQ(forced(), 2u);
  EXPECT_TRUE(ticks_until_reaped(pid, now_));
  EXPECT_TRUE(ticks_until_reaped(stopped, now_));
}

TEST_F(StraysTest, TheControlSocketStaysOpenUntilTheProcessIsReaped) {
  pid_t const pid = adopt([] {}, now_ + 1h);
  control_.reset();
  pollfd other_end{sockets_.second.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&other_end, 1, 20), 0) << "its worker must not believe the program gone";
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(ticks_until_reaped(pid, now_));
  EXPECT_EQ(::poll(&other_end, 1, 20'000), 1);
}

TEST_F(StraysTest, AnAbandonedProcessIsReapedIfItEndsAfterAll) {
  for (bool const reached : {false, true}) {
    os::Child child = child_that([] {});
    strays_.abandon({child.pid, std::move(child.pidfd)}, reached);
    EXPECT_FALSE(strays_.any_exiting()) << "the end of the pool does not wait for it";
    EXPECT_EQ(strays_.reap(), reached) << "a process that SIGKILL has reached will end soon";
    strays_.hurry(now_);
    EXPECT_EQ(strays_.tick(now_ + 1h), std::nullopt) << "it is not signalled again";
    EXPECT_TRUE(support::alive(child.pid));
    ::kill(child.pid, SIGKILL);
    EXPECT_EQ(parts_.events(), std::vector{key(what_stray, 0)});
    EXPECT_FALSE(strays_.reap());
    EXPECT_TRUE(reaped(child.pid));
  }
}

TEST_F(StraysTest, NoMoreThanABoundExit) {
  EXPECT_FALSE(strays_.full(1));
  std::vector<pid_t> pids;
  for (int i = 0; i < 16; ++i) pids.push_back(adopt([] {}, now_ + 1h));
  EXPECT_TRUE(strays_.full(1));
  EXPECT_FALSE(strays_.full(17)) << "a large pool may have more";
  ::kill(pids.front(), SIGKILL);
  EXPECT_TRUE(ticks_until_reaped(pids.front(), now_));
  EXPECT_FALSE(strays_.full(1));
}

TEST_F(StraysTest, NothingIsTakenWithoutADescriptor) {
  os::Child child = child_that([] {});
  ChildProcess process{child.pid, std::move(child.pidfd)};
  os::Cgroup cgroup;
  EXPECT_FALSE(strays_.adopt(0, process, cgroup, -1, -1, now_));
  EXPECT_TRUE(process.pidfd);
  EXPECT_FALSE(strays_.any_exiting());
  ::kill(process.pid, SIGKILL);
  os::reap(process.pidfd.get(), process.pid);
}

// A forked process is the fork server's child, here one that follows a script.
TEST(StraysOfAForkServer, AreReapedThere) {
  PoolOptions options;
  options.start.method = Start::forkserver;
  Supervision parts(std::move(options), "gRgr");
  parts.launcher.make();
  ASSERT_TRUE(parts.fork_server.prepare());
  std::uint64_t const request_id = parts.fork_server.fork("[test/0]", {});
  os::Child child = child_that([] { ::_exit(3); });
  pid_t const pid = child.pid;
  ASSERT_TRUE(support::until([&] { return os::exited(child.pidfd.get()); }));
  parts.strays.abandon({pid, std::move(child.pidfd), request_id}, true);
  EXPECT_FALSE(parts.strays.reap()) << "it is none of ours any more";
  EXPECT_EQ(support::stat_of(pid).state, 'Z') << "the fork server was to reap it";
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace procpool::parent
