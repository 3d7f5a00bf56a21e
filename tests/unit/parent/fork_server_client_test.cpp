// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The fork servers of a pool, one after another: when one is lost, and whether workers are forked
// or spawned behind it. Each fork server here follows a script.

#include "parent/fork_server_client.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include <procpool/bound_call.hpp>
#include <procpool/errors.hpp>

#include "unit/parent/supervision_support.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using Loss = ForkServerClient::Loss;
using Order = ForkServerClient::Order;
using Kind = protocol::ForkReport::Kind;

PoolOptions options(std::chrono::milliseconds start_timeout) {
  PoolOptions options;
  options.start.method = Start::forkserver;
  options.start.timeout = start_timeout;
  return options;
}

class Client {
 public:
  explicit Client(std::string const& script, std::chrono::milliseconds start_timeout = 60s)
      : Client(script, options(start_timeout)) {}
  Client(std::string const& script, PoolOptions const& options) : parts_(options, script) {
    parts_.launcher.make();
    EXPECT_TRUE(client.prepare());
    pid = client.pid();
    EXPECT_NE(pid, 0);
  }

  std::uint64_t fork() { return client.fork("[test/0]", {}); }
  // The next event.
  std::optional<ForkServerClient::Event> event() {
    std::optional<ForkServerClient::Event> event;
    support::until([&] { return (event = client.next()).has_value(); });
    return event;
  }
  Loss loss() {
    auto const next = event();
    Loss const* const loss = next ? std::get_if<Loss>(&*next) : nullptr;
    if (loss == nullptr) ADD_FAILURE() << "no loss is told";
    return loss == nullptr ? Loss() : *loss;
  }
  protocol::ForkReport report() {
    auto const next = event();
    auto const* const forked = next ? std::get_if<ForkServerProcess::Forked>(&*next) : nullptr;
    if (forked == nullptr) ADD_FAILURE() << "no report is passed on";
    return forked == nullptr ? protocol::ForkReport() : forked->report;
  }
  // It has said its first word, and owes nothing.
  bool idle() {
    return support::until([this] {
      EXPECT_FALSE(client.next());
      return !client.deadline();
    });
  }
  bool something_happens(std::chrono::microseconds timeout) {
    std::array<os::Ready, 4> ready;
    return parts_.poller.wait(ready, timeout) != 0;
  }
  bool logged(std::string const& part) const { return parts_.logged(part); }
  std::string name() const { return "the fork server (pid " + std::to_string(pid) + ") "; }

 private:
  Supervision parts_;

 public:
  ForkServerClient& client = parts_.fork_server;
  pid_t pid = 0;
};

TEST(ForkServerClient, ComesUpAndPassesReportsOn) {
  Client server("gRgfgngr");
  EXPECT_EQ(server.fork(), 1u);
  EXPECT_EQ(server.fork(), 2u);
  std::optional<ForkServerClient::TimePoint> since;
  EXPECT_EQ(server.client.reap(1, since), Order::given);
  EXPECT_FALSE(since);
  auto const forked = server.report();
  EXPECT_EQ(forked.kind, Kind::forked);
  EXPECT_EQ(forked.request_id, 1u);
  EXPECT_EQ(forked.pid, server.pid);
  auto const failed = server.report();
  EXPECT_EQ(failed.kind, Kind::failed);
  EXPECT_EQ(failed.request_id, 2u);
  EXPECT_EQ(failed.reason, "no room");
  auto const reaped = server.report();
  EXPECT_EQ(reaped.kind, Kind::reaped);
  EXPECT_EQ(reaped.exit.code, 5);
  EXPECT_TRUE(server.idle());
  EXPECT_TRUE(server.client.forks());
  EXPECT_TRUE(server.client.prepare()) << "it is used again";
  EXPECT_EQ(server.client.pid(), server.pid);
}

TEST(ForkServerClient, IsLostIfItDoesNotComeUpInTime) {
  Client server("g", 50ms);
  auto const deadline = server.client.deadline();
  ASSERT_TRUE(deadline);
  EXPECT_FALSE(server.client.look(*deadline - 1ms));
  auto const loss = server.client.look(*deadline);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->how, server.name() + "did not say its first word within 50 ms");
  EXPECT_FALSE(loss->came_up);
  EXPECT_EQ(loss->failure, SpawnBackoff::Failure::start);
  EXPECT_FALSE(support::alive(server.pid));
  EXPECT_EQ(server.client.pid(), 0);
}

TEST(ForkServerClient, TheNextWorkerIsSpawnedIfItDidNotComeUp) {
  Client server("gx");
  Loss const loss = server.loss();
  EXPECT_EQ(loss.how, server.name() + "exited with status 3 before its first word");
  EXPECT_FALSE(loss.came_up);
  EXPECT_EQ(loss.failure, SpawnBackoff::Failure::start);
  EXPECT_FALSE(server.client.forks());
  EXPECT_FALSE(server.client.prepare());
  server.client.worker_ready();
  EXPECT_TRUE(server.client.forks());
  EXPECT_TRUE(server.client.prepare());
}

TEST(ForkServerClient, SaysIfItWasKilledExternally) {
  Client server("gk");
  Loss const loss = server.loss();
  EXPECT_EQ(loss.failure, SpawnBackoff::Failure::external_kill);
  EXPECT_EQ(loss.how, server.name() + "was killed by SIGKILL before its first word");
}

TEST(ForkServerClient, IsLostIfItRefuses) {
  Client server("gS");
  Loss const loss = server.loss();
  EXPECT_EQ(loss.how, server.name() + "it does not want to");
  EXPECT_FALSE(loss.came_up) << "what it says is a failed start";
}

TEST(ForkServerClient, IsLostIfItRunsAnotherProgram) {
  Client server("gM");
  Loss const loss = server.loss();
  EXPECT_NE(loss.how.find("/no/such/program"), std::string::npos) << loss.how;
  EXPECT_FALSE(loss.came_up);
}

TEST(ForkServerClient, IsLostIfItsFirstWordIsNone) {
  Client server("gj");
  EXPECT_FALSE(server.loss().came_up);
}

TEST(ForkServerClient, MayBeLostWhileForksArePending) {
  Client server("gRggx");
  EXPECT_EQ(server.fork(), 1u);
  EXPECT_EQ(server.fork(), 2u);
  Loss const loss = server.loss();
  EXPECT_EQ(loss.how, server.name() + "exited with status 3");
  EXPECT_TRUE(loss.came_up);
  EXPECT_EQ(loss.useless_in_a_row, 1u);
  EXPECT_TRUE(server.logged(loss.how + "; its workers go on"));
  EXPECT_FALSE(server.client.next()) << "it is told once";
  EXPECT_FALSE(server.client.deadline());
  EXPECT_TRUE(server.client.forks());

  // The workers of the next one have other numbers, and it cannot reap those of the last.
  std::optional<ForkServerClient::TimePoint> since;
  EXPECT_EQ(server.client.reap(2, since), Order::nobody);
  ASSERT_TRUE(server.client.prepare());
  EXPECT_NE(server.client.pid(), server.pid);
  EXPECT_EQ(server.fork(), 3u);
  EXPECT_EQ(server.client.reap(2, since), Order::nobody);
  EXPECT_EQ(server.client.reap(3, since), Order::given);
}

TEST(ForkServerClient, IsLostWhenItHangsUp) {
  Client server("gRh");
  Loss const loss = server.loss();
  EXPECT_TRUE(loss.came_up);
  EXPECT_FALSE(support::alive(server.pid)) << "it is ended";
}

TEST(ForkServerClient, IsLostIfAnOrderCannotReachIt) {
  Client server("gRh");
  ASSERT_TRUE(support::until([&] {
    try {
      return server.fork() == 0;
    } catch (std::system_error const&) {  // its socket is full for a moment
      return false;
    }
  }));
  auto const loss = server.client.look(std::chrono::steady_clock::now());
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->how, server.name() + "cannot be reached");
  server.client.worker_ready();
  ASSERT_TRUE(server.client.prepare());
  EXPECT_FALSE(server.client.look(std::chrono::steady_clock::now())) << "the next one is not lost";
}

TEST(ForkServerClient, IsLostIfItAnswersARequestThatNobodyMade) {
  Client server("gRf");
  EXPECT_TRUE(server.loss().came_up);
  EXPECT_FALSE(support::alive(server.pid));
}

TEST(ForkServerClient, IsLostIfItDoesNotAnswer) {
  Client server("gR");
  ASSERT_TRUE(server.idle());
  EXPECT_FALSE(server.client.look(std::chrono::steady_clock::now() + 1h)) << "it owes nothing";
  EXPECT_EQ(server.fork(), 1u);
  auto const deadline = server.client.deadline();
  ASSERT_TRUE(deadline);
  EXPECT_FALSE(server.client.look(*deadline - 1ms));
  // Nobody has stopped it, and so it may be slow.
  for (int time = 0; time < ForkServerProcess::max_more_time; ++time) {
    EXPECT_FALSE(server.client.look(server.client.deadline().value())) << time;
  }
  auto const loss = server.client.look(server.client.deadline().value());
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->how, server.name() + "does not answer");
  EXPECT_TRUE(loss->came_up);
}

TEST(ForkServerClient, IsLostSoonerIfItIsStopped) {
  Client server("gR");
  ASSERT_TRUE(server.idle());
  EXPECT_EQ(server.fork(), 1u);
  ::kill(server.pid, SIGSTOP);
  siginfo_t stopped{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(server.pid), &stopped, WSTOPPED | WNOWAIT), 0);
  auto const loss = server.client.look(server.client.deadline().value());
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->how, server.name() + "does not answer");
}

TEST(ForkServerClient, IsNotLostWithAnAnswerThatNobodyHasRead) {
  Client server("gRgf");
  ASSERT_TRUE(server.idle());
  while (server.something_happens(0s)) {
  }
  server.fork();
  ASSERT_TRUE(server.something_happens(60s));
  for (int time = 0; time <= ForkServerProcess::max_more_time; ++time) {
    EXPECT_FALSE(server.client.look(server.client.deadline().value() + 1h)) << time;
  }
  EXPECT_EQ(server.report().kind, Kind::forked);
}

TEST(ForkServerClient, StopsForkingWhenThreeInARowWereUseless) {
  Client server("gRgx");
  for (unsigned time = 1; time <= 3; ++time) {
    ASSERT_TRUE(server.client.forks()) << time;
    ASSERT_TRUE(server.client.prepare()) << time;
    server.fork();
    EXPECT_EQ(server.loss().useless_in_a_row, time);
  }
  EXPECT_TRUE(server.logged("and others are spawned from now on"));
  EXPECT_FALSE(server.client.forks());
  server.client.worker_ready();
  EXPECT_FALSE(server.client.forks()) << "for good";
}

TEST(ForkServerClient, AForkedWorkerEndsTheRow) {
  Client server("gRgfgx");
  for (int time = 0; time < 4; ++time) {
    ASSERT_TRUE(server.client.prepare()) << time;
    server.fork();
    server.fork();
    EXPECT_EQ(server.report().kind, Kind::forked);
    EXPECT_EQ(server.loss().useless_in_a_row, 1u);
  }
  EXPECT_TRUE(server.client.forks());
}

TEST(ForkServerClient, AnUnfitOneForksNeverAgain) {
  Client server("gRgu");
  server.fork();
  EXPECT_EQ(server.report().kind, Kind::unfit);
  EXPECT_TRUE(server.logged("its workers are spawned and not forked: it has threads"));
  EXPECT_FALSE(server.client.forks());
  EXPECT_FALSE(server.client.prepare());
  server.client.end_useless(true);
  EXPECT_TRUE(support::alive(server.pid)) << "it has to answer";
  server.client.end_useless(false);
  EXPECT_FALSE(support::alive(server.pid));
}

TEST(ForkServerClient, AnUnfitOneStaysForTheWorkersThatItHasForked) {
  Client server("gRgfgu");
  server.fork();
  server.fork();
  EXPECT_EQ(server.report().kind, Kind::forked);
  EXPECT_EQ(server.report().kind, Kind::unfit);
  server.client.end_useless(false);
  EXPECT_TRUE(support::alive(server.pid));
  std::optional<ForkServerClient::TimePoint> since;
  EXPECT_EQ(server.client.reap(1, since), Order::given);
}

TEST(ForkServerClient, IsBusyUntilItAnswers) {
  Client server("gR"
                "gf");
  ASSERT_TRUE(support::until([&] {
    if (!server.client.busy()) server.fork();
    return server.client.busy();
  }));
  // It reads one order and answers it.
  EXPECT_EQ(server.report().kind, Kind::forked);
  EXPECT_FALSE(server.client.busy());
}

TEST(ForkServerClient, IsNotAskedForAStatusLongerThanASecond) {
  Client server("i");  // it reads nothing
  std::optional<ForkServerClient::TimePoint> since;
  for (int i = 0; i < 100'000 && !since; ++i) server.client.reap(1, since);
  ASSERT_TRUE(since) << "the socket is never full";
  EXPECT_EQ(server.client.reap(1, since), Order::later);
  since = *since - 2s;
  EXPECT_EQ(server.client.reap(1, since), Order::nobody);
}

TEST(ForkServerClient, OfAPoolThatSpawnsDoesNothing) {
  Supervision parts;
  EXPECT_FALSE(parts.fork_server.forks());
  EXPECT_FALSE(parts.fork_server.prepare());
  EXPECT_FALSE(parts.fork_server.next());
  EXPECT_FALSE(parts.fork_server.look(std::chrono::steady_clock::now()));
  EXPECT_EQ(parts.fork_server.end().kind, os::Exit::Kind::unknown);
}

// ---- the preload

void preloaded() {}

PoolOptions preloading(std::chrono::milliseconds start_timeout = 60s) {
  PoolOptions all = options(start_timeout);
  all.start.preload = bound<preloaded>();
  return all;
}

TEST(ForkServerClient, ComesUpWithItsPreload) {
  Client server("gRt", preloading());
  auto const pid = server.pid;
  ASSERT_TRUE(support::until([&] {
    EXPECT_FALSE(server.client.next());
    return os::thread_state(pid) == 'T';
  }));
  EXPECT_FALSE(server.client.next());
  EXPECT_TRUE(server.client.starts());
  EXPECT_TRUE(server.client.deadline()) << "the preload has a limit";
  Client ready("gRp", preloading());
  EXPECT_TRUE(ready.idle());
  EXPECT_FALSE(ready.client.starts());
}

TEST(ForkServerClient, IsLostWithAPreloadThatFails) {
  Client server("gRP", preloading());
  Loss const loss = server.loss();
  EXPECT_FALSE(loss.came_up);
  EXPECT_EQ(loss.failure, SpawnBackoff::Failure::initializer);
  ASSERT_TRUE(loss.error);
  EXPECT_THROW(std::rethrow_exception(loss.error), SetupError);
  EXPECT_NE(loss.how.find("failed in its preload"), std::string::npos) << loss.how;
  EXPECT_TRUE(server.client.forks()) << "a spawned worker would have nothing of the preload";
}

TEST(ForkServerClient, IsLostWithAPreloadThatEndsIt) {
  Client server("gRx", preloading());
  Loss const loss = server.loss();
  EXPECT_EQ(loss.how, server.name() + "exited with status 3 in its preload");
  EXPECT_EQ(loss.failure, SpawnBackoff::Failure::initializer);
  EXPECT_TRUE(loss.error);
  Client killed("gRk", preloading());
  Loss const other = killed.loss();
  EXPECT_EQ(other.how, killed.name() + "was killed by SIGKILL in its preload");
  EXPECT_EQ(other.failure, SpawnBackoff::Failure::external_kill);
  EXPECT_FALSE(other.error) << "somebody else may have killed it";
}

TEST(ForkServerClient, IsLostWithAPreloadThatTakesTooLong) {
  Client server("gR", preloading(3s));  // for its first word too
  std::optional<Loss> loss;
  ASSERT_TRUE(support::until([&] {
    EXPECT_FALSE(server.client.next());
    return (loss = server.client.look(std::chrono::steady_clock::now())).has_value();
  }));
  ASSERT_TRUE(loss->error);
  EXPECT_THROW(std::rethrow_exception(loss->error), TaskTimeout);
  EXPECT_FALSE(support::alive(server.pid));
}

TEST(ForkServerClient, ItsWorkersAreNeverSpawnedIfTheyNeedThePreload) {
  Client unfit("gRpgu", preloading());
  EXPECT_EQ(unfit.fork(), 1u);
  Loss const loss = unfit.loss();
  EXPECT_EQ(loss.failure, SpawnBackoff::Failure::initializer);
  EXPECT_TRUE(unfit.client.prepare()) << "another one is attempted";
  Client absent("gx", preloading());
  EXPECT_EQ(absent.loss().failure, SpawnBackoff::Failure::start);
  EXPECT_TRUE(absent.client.forks());
}

}  // namespace
}  // namespace procpool::parent
