// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The fork server, as its dispatcher speaks to it: it forks for the process that started it, and
// for no other.

#include "forkserver/fork_server.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <utility>
#include <variant>

#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "parent/fork_server_process.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

class ForkServerProcessTest : public ::testing::Test {
 protected:
  // The next word; nothing: none came.
  std::optional<ForkServerProcess::Word> word() {
    pollfd readable{fork_server_.socket(), POLLIN, 0};
    ::poll(&readable, 1, 30'000);
    return fork_server_.next();
  }
  // Orders a fork with this end of a control socket, and returns the report.
  protocol::ForkReport fork(int control) {
    EXPECT_EQ(fork_server_.fork(++request_id_, "[worker]", std::span(&control, 1)),
              ForkServerProcess::Order::given);
    auto answer = word();
    if (answer && std::holds_alternative<protocol::Ready>(*answer)) answer = word();
    if (!answer || !std::holds_alternative<ForkServerProcess::Forked>(*answer)) {
      ADD_FAILURE() << "no report came";
      return {};
    }
    return std::get<ForkServerProcess::Forked>(*answer).report;
  }

  os::UniqueFd image_ = os::open_own_image();
  os::UniqueFd self_ = os::open_pidfd(::getpid());
  ForkServerProcess fork_server_{
      {image_.get(), self_.get(), "pool", os::copy_environment(), false, 60'000ms}};
  std::uint64_t request_id_ = 0;
};

TEST_F(ForkServerProcessTest, ForksForItsMaker) {
  auto const [ours, theirs] = os::socket_pair();
  EXPECT_EQ(fork(theirs.get()).kind, protocol::ForkReport::Kind::forked);
}

TEST_F(ForkServerProcessTest, DoesNotForkForAnotherProcess) {
  auto const [ours, theirs] = os::socket_pair();
  pid_t const child = ::fork();
  if (child == 0) {
    auto const [one, other] = os::socket_pair();
    std::array const bytes{std::byte{1}};
    std::array const fds{one.get(), other.get()};
    os::send_packet(theirs.get(), bytes, fds, true);
    ::_exit(0);
  }
  os::Packet packet;
  ASSERT_EQ(os::receive_packet(ours.get(), packet, true), os::ReceiveResult::received);
  ::waitpid(child, nullptr, 0);
  ASSERT_EQ(packet.fds.size(), 2u);
  protocol::ForkReport const report = fork(packet.fds[1].get());
  EXPECT_EQ(report.kind, protocol::ForkReport::Kind::failed);
  EXPECT_NE(report.reason.find("made by another process"), std::string::npos) << report.reason;
}

TEST_F(ForkServerProcessTest, DoesNotForkForAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can act for another user";
  ASSERT_EQ(::seteuid(65534), 0);
  auto const [ours, theirs] = os::socket_pair();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(fork(theirs.get()).kind, protocol::ForkReport::Kind::failed);
  auto const [good, theirs_too] = os::socket_pair();
  EXPECT_EQ(fork(theirs_too.get()).kind, protocol::ForkReport::Kind::forked) << "it serves on";
}

}  // namespace
}  // namespace procpool::parent
