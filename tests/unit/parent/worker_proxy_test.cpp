// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// One worker as the dispatcher sees it: what each end of its process does to its place. Some of the
// workers here are real, the others follow a script.

#include "parent/worker_proxy.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include <procpool.hpp>

#include "parent/poll_keys.hpp"
#include "support/trace.hpp"
#include "unit/parent/supervision_support.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

void fails_to_prepare() { throw std::runtime_error("it is not prepared"); }
void exits_in_preparation() { ::_exit(7); }
void speaks_and_exits() {
  procpool::log(LogLevel::info, "last words");
  ::_exit(7);
}
void prepares() {}
void sleeps_long() {
  support::Trace::note(1);
  ::sleep(1'000);
}

class WorkerProxyTest : public testing::Test {
 protected:
  using TimePoint = WorkerProxy::TimePoint;

  void start(std::string const& script = {}) {
    parts_.emplace(options_, script);
    proxy_.emplace(0, parts_->services);
    proxy_->start();
  }
  void TearDown() override {
    if (!proxy_) return;
    proxy_->terminate();
    EXPECT_TRUE(until([this] { return proxy_->vacant(); }));
    parts_->strays.hurry(TimePoint::clock::now());
    EXPECT_TRUE(until([this] { return !parts_->strays.any_exiting(); }));
  }
  // Does the work of a supervisor's loop until this is true.
  template <class Condition>
  bool until(Condition const& condition) {
    return support::until([&] {
      TimePoint const now = TimePoint::clock::now();
      proxy_->tick(now, wanted_);
      parts_->strays.tick(now);
      for (std::uint64_t const ready : parts_->events(1ms)) handle(what_of(ready));
      proxy_->look();
      return condition();
    });
  }
  bool becomes_vacant() {
    return until([this] { return proxy_->vacant(); });
  }
  bool becomes_ready() {
    return until([this] { return stats().workers == 1; });
  }
  void handle(What what) {
    switch (what) {
      case what_control: proxy_->on_control(); break;
      case what_exit: proxy_->on_exit(); break;
      case what_output: proxy_->on_output(); break;
      case what_stray: parts_->strays.reap(); break;
      case what_fork_server:
        while (auto const event = parts_->fork_server.next()) {
          if (auto const* const loss = std::get_if<ForkServerClient::Loss>(&*event)) {
            lost_ = *loss;
          } else {
            proxy_->on_reaped(std::get<ForkServerProcess::Forked>(*event).report.exit);
          }
        }
        break;
      default: break;
    }
  }

  Stats stats() const { return parts_->core.stats(); }
  WorkerStats worker() const { return parts_->core.worker_stats().at(0); }
  std::uint64_t forced() const { return parts_->core.end_summary().forced; }
  unsigned failed_starts() const { return parts_->backoff.failed_starts(); }
  std::string last_end() const { return worker().last_end; }
  bool ended(std::string const& how) const { return last_end().find(how) != std::string::npos; }

  PoolOptions options_;
  std::size_t wanted_ = 1;
  std::optional<Supervision> parts_;
  std::optional<WorkerProxy> proxy_;
  std::optional<ForkServerClient::Loss> lost_;
};

// ---- starts that fail

TEST_F(WorkerProxyTest, ThatExitsBeforeItsFirstWordIsAFailedStart) {
  start("x");
  EXPECT_FALSE(proxy_->vacant());
  EXPECT_NE(worker().pid, 0);
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("exited with status 3 before its first word")) << last_end();
  EXPECT_TRUE(parts_->logged(last_end()));
  EXPECT_EQ(failed_starts(), 1u);
  EXPECT_EQ(stats().failed_starts, 1u);
  EXPECT_EQ(stats().worker_deaths, 0u);
  EXPECT_EQ(worker().pid, 0);
}

TEST_F(WorkerProxyTest, ThatRefusesSaysWhy) {
  start("gS");
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("before its first word: it does not want to")) << last_end();
  EXPECT_EQ(failed_starts(), 1u);
}

TEST_F(WorkerProxyTest, ThatRefusesAndExitsAtOnceSaysWhyAsWell) {
  start("gSx");
  support::until([this] { return !support::alive(worker().pid); });
  proxy_->on_exit();  // ahead of its word
  ASSERT_TRUE(proxy_->vacant());
  EXPECT_TRUE(ended("exited with status 3 before its first word: it does not want to"))
      << last_end();
}

TEST_F(WorkerProxyTest, ThatSaysNoSuchWordIsKilled) {
  start("gj");
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGKILL before its first word: its first word was none"))
      << last_end();
}

TEST_F(WorkerProxyTest, OfAnotherProgramIsKilled) {
  start("gM");
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("/no/such/program")) << last_end();
}

TEST_F(WorkerProxyTest, ThatSaysNothingInTimeIsKilled) {
  options_.start.timeout = 50ms;
  for (char const* const script : {"g", "it"}) {  // it waits, or is stopped
    start(script);
    ASSERT_TRUE(becomes_vacant());
    EXPECT_TRUE(ended("did not say its first word within 50 ms")) << last_end();
    EXPECT_EQ(failed_starts(), 1u);
  }
}

TEST_F(WorkerProxyTest, ThatIsNotNeededAnyMoreIsNoFailedStart) {
  start("g");
  wanted_ = 0;
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGKILL, one too many after resize()")) << last_end();
  EXPECT_EQ(failed_starts(), 0u);
  EXPECT_EQ(forced(), 0u);
}

TEST_F(WorkerProxyTest, ThatCannotBeMadeIsAFailedStart) {
  options_.placement.cgroup = "/no/such/folder";
  start();
  EXPECT_TRUE(proxy_->vacant());
  EXPECT_EQ(failed_starts(), 1u);
  EXPECT_TRUE(parts_->logged("worker 0 could not be made"));
}

// ---- initializers

TEST_F(WorkerProxyTest, IsReadyBehindItsInitializer) {
  options_.start.initializer = bound<prepares>();
  start();
  EXPECT_TRUE(becomes_ready());
}

TEST_F(WorkerProxyTest, WhoseInitializerThrowsIsAFailedStart) {
  options_.start.initializer = bound<fails_to_prepare>();
  start();
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was ended, since its initializer has failed")) << last_end();
  EXPECT_TRUE(ended("it is not prepared")) << last_end();
  EXPECT_EQ(failed_starts(), 1u);
}

TEST_F(WorkerProxyTest, WhoseInitializerExitsIsAFailedStart) {
  options_.start.initializer = bound<exits_in_preparation>();
  start();
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("exited with status 7 in its initializer")) << last_end();
  EXPECT_EQ(failed_starts(), 1u);
}

// The end of the process may be seen ahead of its notification.
TEST_F(WorkerProxyTest, ThatDiesBeforeItIsLookedAtTellsItsLines) {
  options_.start.initializer = bound<speaks_and_exits>();
  start();
  EXPECT_TRUE(support::until([&] {
    proxy_->tick(TimePoint::clock::now(), wanted_);
    for (std::uint64_t const ready : parts_->events(1ms)) handle(what_of(ready));
    return proxy_->vacant();
  }));
  EXPECT_TRUE(parts_->logged("last words"));
}

TEST_F(WorkerProxyTest, WhoseInitializerTakesTooLongIsKilled) {
  support::Trace const trace;
  options_.start.initializer = bound<sleeps_long>();
  options_.start.timeout = 10min;
  start();
  ASSERT_TRUE(until([&] { return trace.size() == 1; }));
  proxy_->tick(TimePoint::clock::now() + 11min, wanted_);
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("took longer than 600000 ms")) << last_end();
}

// ---- the service

TEST_F(WorkerProxyTest, ThatDiesIsNoticed) {
  start();
  ASSERT_TRUE(becomes_ready());
  ::kill(worker().pid, SIGKILL);
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGKILL")) << last_end();
  EXPECT_EQ(stats().worker_deaths, 1u);
  EXPECT_EQ(stats().workers, 0u);
  EXPECT_EQ(failed_starts(), 0u);
}

TEST_F(WorkerProxyTest, LeavesWithThePool) {
  start();
  ASSERT_TRUE(becomes_ready());
  proxy_->leave_with_pool(TimePoint::clock::now());
  EXPECT_EQ(stats().workers, 0u) << "it is given nothing any more";
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("exited with status 0")) << last_end();
  EXPECT_EQ(stats().worker_deaths, 0u);
  EXPECT_EQ(forced(), 0u);
}

TEST_F(WorkerProxyTest, ThatIsOneTooManyLeavesItsPlaceAtOnce) {
  start();
  ASSERT_TRUE(becomes_ready());
  wanted_ = 0;
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended(", one too many after resize()")) << last_end();
  EXPECT_EQ(stats().workers_resized, 1u);
}

TEST_F(WorkerProxyTest, ThatIsIdleLeaves) {
  options_.lifetime.idle_timeout = 10ms;
  start();
  ASSERT_TRUE(becomes_ready());
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended(", having been idle")) << last_end();
  EXPECT_EQ(stats().workers_left_idle, 1u);
}

TEST_F(WorkerProxyTest, ThatDoesNotLeaveGetsSigterm) {
  options_.shutdown.stop_grace = 500ms;  // a busy machine takes its time with the signal
  start("gR");
  ASSERT_TRUE(becomes_ready());
  proxy_->leave_with_pool(TimePoint::clock::now());
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGTERM")) << last_end();
  EXPECT_EQ(forced(), 0u);
}

TEST_F(WorkerProxyTest, ThatIgnoresSigtermIsKilled) {
  options_.shutdown.stop_grace = 20ms;
  for (char const* const script : {"giR", "gRt"}) {  // it ignores SIGTERM, or is stopped
    start(script);
    ASSERT_TRUE(becomes_ready());
    proxy_->leave_with_pool(TimePoint::clock::now());
    ASSERT_TRUE(becomes_vacant());
    EXPECT_TRUE(ended("was killed by SIGKILL")) << last_end();
    EXPECT_EQ(forced(), 1u);
  }
}

TEST_F(WorkerProxyTest, ThatHangsUpLeaves) {
  options_.shutdown.stop_grace = 20ms;
  start("gRh");
  ASSERT_TRUE(becomes_ready());
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGTERM")) << last_end();
  EXPECT_EQ(stats().worker_deaths, 0u) << "it was asked to leave";
}

TEST_F(WorkerProxyTest, ThatIsTerminatedWithThePoolIsForced) {
  start();
  ASSERT_TRUE(becomes_ready());
  proxy_->terminate();
  ASSERT_TRUE(becomes_vacant());
  EXPECT_EQ(forced(), 1u);
}

TEST_F(WorkerProxyTest, ThatIsTerminatedAtItsStartIsNotForced) {
  start("g");
  proxy_->terminate();
  ASSERT_TRUE(becomes_vacant());
  EXPECT_EQ(forced(), 0u);
}

// A worker that is killed and then leaves with its pool is not given time once more.
TEST_F(WorkerProxyTest, ThatWasKilledGetsNoMoreTime) {
  start("giR");
  ASSERT_TRUE(becomes_ready());
  ::kill(worker().pid, SIGSTOP);
  proxy_->terminate();
  proxy_->leave_with_pool(TimePoint::clock::now());
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("was killed by SIGKILL")) << last_end();
}

// ---- forked workers; the fork server follows a script

class ForkedWorkerProxyTest : public WorkerProxyTest {
 protected:
  ForkedWorkerProxyTest() { options_.start.method = Start::forkserver; }
  // The fork server has made the worker.
  pid_t is_forked(std::function<void()> const& body) {
    os::Child child = child_that(body);
    pid_t const pid = child.pid;
    proxy_->on_forked(std::move(child));
    return pid;
  }
};

TEST_F(ForkedWorkerProxyTest, WaitsForItsFork) {
  start("gR");
  EXPECT_TRUE(proxy_->fork_pending());
  EXPECT_FALSE(proxy_->fork_cancelled());
  EXPECT_EQ(proxy_->request_id(), 1u);
  EXPECT_EQ(worker().pid, 0);
  pid_t const pid = is_forked([] {});
  EXPECT_FALSE(proxy_->fork_pending());
  EXPECT_EQ(proxy_->request_id(), 1u);
  EXPECT_EQ(worker().pid, pid);
  parts_->fork_server.end();  // TearDown() reaps it here
}

TEST_F(ForkedWorkerProxyTest, ThatCannotBeForkedIsAFailedStart) {
  start("gR");
  proxy_->on_not_forked("there is no room");
  EXPECT_TRUE(proxy_->vacant());
  EXPECT_EQ(failed_starts(), 1u);
  EXPECT_TRUE(parts_->logged("there is no room"));
}

TEST_F(ForkedWorkerProxyTest, WhoseForkIsToBeRepeatedIsNone) {
  start("gR");
  proxy_->on_not_forked("");
  EXPECT_TRUE(proxy_->vacant());
  EXPECT_EQ(failed_starts(), 0u);
}

TEST_F(ForkedWorkerProxyTest, WhoseForkIsCancelledIsKilledAsSoonAsItExists) {
  start("gR");
  proxy_->leave_with_pool(TimePoint::clock::now());
  EXPECT_TRUE(proxy_->fork_pending());
  EXPECT_TRUE(proxy_->fork_cancelled());
  pid_t const pid = is_forked([] {});
  parts_->fork_server.end();
  ASSERT_TRUE(becomes_vacant());
  EXPECT_FALSE(support::alive(pid));
  EXPECT_EQ(failed_starts(), 0u);
}

TEST_F(ForkedWorkerProxyTest, WhoseForkIsCancelledMayNeverExist) {
  start("gR");
  proxy_->leave_with_pool(TimePoint::clock::now());
  proxy_->on_not_forked("there is no room");
  EXPECT_TRUE(proxy_->vacant());
  EXPECT_EQ(failed_starts(), 0u);
}

TEST_F(ForkedWorkerProxyTest, KeepsItsPlaceUntilTheForkServerHasReapedIt) {
  start("gRggr");
  pid_t const pid = is_forked([] { ::_exit(3); });
  support::until([&] { return !support::alive(pid); });
  proxy_->on_reaped({os::Exit::Kind::exited, 1});
  EXPECT_FALSE(proxy_->vacant()) << "the fork server was not asked yet";
  ASSERT_TRUE(becomes_vacant());
  EXPECT_TRUE(ended("exited with status 5")) << last_end() << ": as the fork server says";
  EXPECT_EQ(failed_starts(), 1u);
  ::waitpid(pid, nullptr, 0);
}

TEST_F(ForkedWorkerProxyTest, IsReapedHereIfTheForkServerIsLostMeanwhile) {
  start("gRgg");
  pid_t const pid = is_forked([] { ::_exit(3); });
  support::until([&] { return !support::alive(pid); });
  proxy_->on_fork_server_lost();
  EXPECT_FALSE(proxy_->vacant()) << "the fork server was not asked yet";
  proxy_->on_exit();
  EXPECT_FALSE(proxy_->vacant());
  parts_->fork_server.end();
  proxy_->on_fork_server_lost();
  EXPECT_TRUE(proxy_->vacant());
  EXPECT_TRUE(ended("exited with status 3")) << last_end();
}

}  // namespace
}  // namespace procpool::parent
