// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The process of a worker on the way to its end: asked, pressed, killed, noticed, reaped or left
// behind.

#include "parent/worker_process.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "parent/poll_keys.hpp"
#include "unit/parent/supervision_support.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using ExitKind = os::Exit::Kind;

class WorkerProcessTest : public testing::Test {
 protected:
  // Begins with a child that has done this.
  WorkerProcess& begin(std::function<void()> const& body, std::uint64_t request_id = 0) {
    pending_ = parts_.launcher.make();
    process_.emplace(0, parts_.services, child_that(body), request_id, pending_);
    process_->connect(pending_);
    return *process_;
  }
  void TearDown() override {
    if (!process_) return;
    ::kill(process_->pid(), SIGKILL);
    ::waitpid(process_->pid(), nullptr, 0);
  }
  // The poller has named its exit. It names its closed socket as well.
  bool exited() {
    return support::until([this] {
      auto const keys = parts_.events();
      return std::ranges::find(keys, key(what_exit, 0)) != keys.end();
    });
  }
  // How it ended, when it has.
  os::Exit exit() {
    EXPECT_TRUE(exited());
    auto const exit = process_->find_exit();
    EXPECT_TRUE(exit);
    return exit.value_or(os::Exit{});
  }
  bool lives() { return parts_.events(20ms).empty(); }

  std::chrono::steady_clock::time_point const now_ = std::chrono::steady_clock::now();
  Supervision parts_{with_grace(60s)};
  PendingWorker pending_;
  std::optional<WorkerProcess> process_;
};

TEST_F(WorkerProcessTest, ExitsBeforeAnybodyAsks) {
  WorkerProcess& process = begin([] { ::_exit(3); });
  os::Exit const end = exit();
  EXPECT_EQ(end.kind, ExitKind::exited);
  EXPECT_EQ(end.code, 3);
  EXPECT_FALSE(process.killed());
  EXPECT_FALSE(process.report().forced);
  EXPECT_FALSE(process.receive_first_word().received);
  EXPECT_EQ(process.refusal(), "");
}

TEST_F(WorkerProcessTest, HasATimeToEndThenSigtermThenSigkill) {
  WorkerProcess& process = begin(ignore_sigterm);
  process.limit(now_ + 1s);
  NextLook next;
  process.escalate(now_, next);
  EXPECT_EQ(next.time(), now_ + 1s);
  EXPECT_FALSE(process.terminated());

  next = {};
  process.escalate(now_ + 1s, next);
  EXPECT_EQ(next.time(), now_ + 61s) << "its grace begins anew";
  EXPECT_TRUE(process.terminated());
  EXPECT_TRUE(lives());

  process.escalate(now_ + 60s, next);
  EXPECT_FALSE(process.killed());
  next = {};
  process.escalate(now_ + 61s, next);
  EXPECT_EQ(next.time(), now_ + 61s);
  EXPECT_TRUE(process.killed());
  EXPECT_TRUE(process.report().forced);
  os::Exit const end = exit();
  EXPECT_EQ(end.kind, ExitKind::signalled);
  EXPECT_EQ(end.code, SIGKILL);
}

TEST_F(WorkerProcessTest, EndsBySigterm) {
  WorkerProcess& process = begin([] {});
  process.terminate(now_ + 1s);
  EXPECT_TRUE(process.terminated());
  os::Exit const end = exit();
  EXPECT_EQ(end.code, SIGTERM);
  EXPECT_FALSE(process.killed());
}

TEST_F(WorkerProcessTest, ThatEndsForAnElementIsNotForced) {
  WorkerProcess& process = begin(ignore_sigterm);
  process.report().leave_reason = LeaveReason::for_element;
  process.terminate(now_);
  NextLook next;
  process.escalate(now_, next);
  EXPECT_TRUE(process.killed());
  EXPECT_FALSE(process.report().forced);
}

TEST_F(WorkerProcessTest, WithoutALimitIsNotPressed) {
  WorkerProcess& process = begin([] {});
  NextLook next;
  process.escalate(now_ + 1h, next);
  EXPECT_FALSE(next.time());
  EXPECT_TRUE(lives());
}

TEST_F(WorkerProcessTest, ThatIsStoppedEndsBySigkill) {
  WorkerProcess& process = begin([] {});
  ::kill(process.pid(), SIGSTOP);
  ASSERT_TRUE(support::until([&] { return support::stat_of(process.pid()).state == 'T'; }));
  process.terminate(now_);
  EXPECT_TRUE(lives());
  NextLook next;
  process.escalate(now_, next);
  EXPECT_EQ(exit().code, SIGKILL);
}

TEST_F(WorkerProcessTest, IsKilledOnceAndTheFirstCauseCounts) {
  WorkerProcess& process = begin([] {});
  process.kill("its first word was odd");
  process.kill("another cause");
  EXPECT_EQ(process.report().cause, "its first word was odd");
  process.limit(now_);
  process.terminate(now_);
  EXPECT_FALSE(process.terminated()) << "no limit counts any more";
  NextLook next;
  process.escalate(now_ + 1h, next);
  EXPECT_FALSE(next.time());
  EXPECT_EQ(exit().code, SIGKILL);
  EXPECT_FALSE(process.report().forced);
}

TEST_F(WorkerProcessTest, IsKilledWithItsProcessGroup) {
  auto [ours, theirs] = os::socket_pair();
  WorkerProcess& process = begin([&] { ::fork(); });
  theirs.reset();
  process.kill();
  EXPECT_EQ(exit().code, SIGKILL);
  pollfd gone{ours.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&gone, 1, 20'000), 1) << "a child of it lives";
}

TEST_F(WorkerProcessTest, ThatCannotBeWatchedIsKilledWithTheCause) {
  pending_ = parts_.launcher.make();
  os::UniqueFd const control = std::move(pending_.control);  // cannot be watched
  process_.emplace(0, parts_.services, child_that([] {}), 0, pending_);
  process_->connect(pending_);
  EXPECT_TRUE(process_->killed());
  EXPECT_NE(process_->report().cause.find("could not watch"), std::string::npos)
      << process_->report().cause;
  EXPECT_EQ(exit().code, SIGKILL);
}

// The poller does not name a process after unwatch().
TEST_F(WorkerProcessTest, IsNotReportedWhenItIsNotWatched) {
  WorkerProcess& process = begin([] {});
  EXPECT_FALSE(process.unwatched_look(now_)) << "the poller reports it";
  EXPECT_FALSE(process.overlooked());
  process.unwatch();
  process.kill();
  EXPECT_TRUE(parts_.events(20ms).empty());
}

TEST_F(WorkerProcessTest, DepartsBeforeItsTimeIsOver) {
  WorkerProcess& process = begin([] {});
  EXPECT_FALSE(process.depart()) << "it was not asked to leave";
  process.limit(now_ + 1s);
  process.report().leave_reason = LeaveReason::with_pool;
  EXPECT_FALSE(process.depart()) << "nobody waits for its place";
  process.report().leave_reason = LeaveReason::idle;
  process.report().when = ExitReport::When::leaving;
  EXPECT_TRUE(process.depart());
  EXPECT_TRUE(process.report().departed);
  EXPECT_EQ(process.report().text(), worker_name(0, process.pid()) + " left, having been idle");
  EXPECT_TRUE(parts_.strays.any_exiting());
  EXPECT_EQ(parts_.strays.tick(now_), now_ + 1s) << "its deadline goes with it";
  process.unwatch();
  ::kill(process.pid(), SIGKILL);
  EXPECT_EQ(parts_.events(), std::vector{key(what_stray, 0)});
  parts_.strays.reap();
}

TEST_F(WorkerProcessTest, StaysWhenItWasTerminated) {
  WorkerProcess& process = begin(ignore_sigterm);
  process.terminate(now_ + 1s);
  EXPECT_FALSE(process.depart());
  EXPECT_FALSE(process.report().departed);
}

TEST_F(WorkerProcessTest, IsAbandonedIfItDoesNotEndOnSigkill) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can act for a user who may not signal it";
  WorkerProcess& process = begin([] {});
  ASSERT_EQ(::setresuid(65534, 65534, 0), 0);
  process.kill();
  ASSERT_EQ(::setresuid(0, 0, 0), 0);
  NextLook next;
  auto const killed = std::chrono::steady_clock::now();
  EXPECT_FALSE(process.look_at_killed(killed, next));
  ASSERT_TRUE(next.time());
  EXPECT_GT(*next.time(), killed);
  EXPECT_LE(*next.time(), killed + kill_patience);
  auto const end = process.look_at_killed(killed + kill_patience, next);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, ExitKind::none);
  EXPECT_TRUE(
      parts_.logged("does not end on SIGKILL, and is left behind: it may not be signalled"));
  EXPECT_TRUE(support::alive(process.pid()));
  EXPECT_FALSE(parts_.strays.reap()) << "nobody knows when it ends";
  process.unwatch();
  ::kill(process.pid(), SIGKILL);
  EXPECT_EQ(parts_.events(), std::vector{key(what_stray, 0)});
}

TEST_F(WorkerProcessTest, IsNotAbandonedIfItHasEndedMeanwhile) {
  WorkerProcess& process = begin([] {});
  process.kill();
  ASSERT_TRUE(exited());
  NextLook next;
  EXPECT_FALSE(process.look_at_killed(std::chrono::steady_clock::now() + 2s, next));
  EXPECT_EQ(process.find_exit()->code, SIGKILL);
}

TEST_F(WorkerProcessTest, IsContinuedIfItWasStoppedWhileItHadSomethingToDo) {
  WorkerProcess& process = begin([] {});
  ::kill(process.pid(), SIGSTOP);
  ASSERT_TRUE(support::until([&] { return support::stat_of(process.pid()).state == 'T'; }));
  Vigil::Duty duty;
  duty.due = true;
  auto now = now_;
  for (int looks = 0; looks < 8 && parts_.services.resumed == 0; ++looks) {
    EXPECT_FALSE(process.watch_over(now, duty));
    EXPECT_GT(process.next_watch(), now);
    now = process.next_watch();
  }
  EXPECT_EQ(parts_.services.resumed, 1u);
  EXPECT_TRUE(support::until([&] { return support::stat_of(process.pid()).state == 'S'; }));
  EXPECT_TRUE(parts_.logged("was stopped"));
  EXPECT_FALSE(process.killed());
}

TEST_F(WorkerProcessTest, KnowsWhenItsSocketIsClosed) {
  WorkerProcess& process = begin([] {});
  EXPECT_FALSE(process.hung_up());
  process.await_hang_up();
  EXPECT_TRUE(lives());
  process.on_hang_up();
  EXPECT_TRUE(process.hung_up());
  pending_.control.reset();
  EXPECT_TRUE(lives());
}

TEST_F(WorkerProcessTest, TheInheritedPeakOfMemoryIsNotItsOwn) {
  WorkerProcess& spawned = begin([] {});
  EXPECT_EQ(spawned.own_part({ExitKind::exited, 0, 4096}).peak, 0u);
  std::uint64_t const much = std::uint64_t{1} << 60;
  EXPECT_EQ(spawned.own_part({ExitKind::exited, 0, much}).peak, much);
  TearDown();
  WorkerProcess& forked = begin([] {}, 1);
  EXPECT_EQ(forked.own_part({ExitKind::exited, 0, 4096}).peak, 4096u);
}

// A forked worker is the fork server's child, here one that follows a script.
class ForkedWorkerProcess : public testing::Test {
 protected:
  WorkerProcess& begin(std::string const& script) {
    PoolOptions options;
    options.start.method = Start::forkserver;
    parts_.emplace(std::move(options), script);
    PendingWorker pending = parts_->launcher.make();
    EXPECT_TRUE(parts_->fork_server.prepare());
    std::uint64_t const request_id = parts_->fork_server.fork("[test/0]", {});
    process_.emplace(0, parts_->services, child_that([] { ::_exit(3); }), request_id, pending);
    process_->connect(pending);
    EXPECT_TRUE(support::until([&] { return !support::alive(process_->pid()); }));
    return *process_;
  }
  void TearDown() override { ::waitpid(process_->pid(), nullptr, 0); }

  std::optional<Supervision> parts_;
  std::optional<WorkerProcess> process_;
};

TEST_F(ForkedWorkerProcess, IsReapedByTheForkServer) {
  WorkerProcess& process = begin("gR");
  EXPECT_FALSE(process.ended());
  EXPECT_FALSE(process.find_exit()) << "the fork server has to say how it ended";
  EXPECT_TRUE(process.ended());
  EXPECT_TRUE(process.status_asked());
  EXPECT_FALSE(process.overlooked()) << "the answer comes by itself";
  EXPECT_FALSE(process.unwatched_look({}));
  EXPECT_EQ(support::stat_of(process.pid()).state, 'Z');
  process.kill("too late");
  EXPECT_TRUE(process.status_asked());
}

TEST_F(ForkedWorkerProcess, IsReapedHereIfTheForkServerIsLost) {
  WorkerProcess& process = begin("gR");
  EXPECT_FALSE(process.find_exit());
  parts_->fork_server.end();
  EXPECT_EQ(process.reap().code, 3);
}

TEST_F(ForkedWorkerProcess, IsReapedHereIfTheForkServerWasLostBefore) {
  WorkerProcess& process = begin("gR");
  parts_->fork_server.end();
  auto const end = process.find_exit();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code, 3);
}

TEST_F(ForkedWorkerProcess, IsAskedForAgainUntilTheForkServerHasRoom) {
  WorkerProcess& process = begin("i");  // it reads nothing
  std::optional<ForkServerClient::TimePoint> since;
  for (int i = 0; i < 100'000 && !since; ++i) parts_->fork_server.reap(1, since);
  ASSERT_TRUE(since) << "the socket is never full";
  EXPECT_FALSE(process.find_exit());
  EXPECT_TRUE(process.ended());
  EXPECT_FALSE(process.status_asked());
  EXPECT_TRUE(process.overlooked()) << "it is to be asked for again";
  EXPECT_TRUE(process.unwatched_look({}));
  parts_->fork_server.end();
  auto const end = process.find_exit();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code, 3);
}

}  // namespace
}  // namespace procpool::parent
