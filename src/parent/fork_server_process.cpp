// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/fork_server_process.hpp"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>

#include "channel/layout.hpp"
#include "os/activity.hpp"
#include "os/socket.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

// From one answer to the next, while answers are owed.
constexpr auto answer_timeout = 1s;
// The socket has room for these, and the descriptors in it stay few.
constexpr std::size_t max_unanswered = 48;
constexpr int end_timeout_ms = 1000;

std::chrono::steady_clock::time_point now() noexcept { return std::chrono::steady_clock::now(); }

}  // namespace

ForkServerProcess::ForkServerProcess(Settings const& settings)
    : user_(::geteuid()),
      group_(::getegid()),
      start_timeout_(settings.start_timeout),
      waiting_since_(now()),
      preload_ended_(settings.preload < 0) {
  auto [ours, theirs] = os::socket_pair();
  os::SpawnRequest request;
  request.image = settings.image;
  request.control = theirs.get();
  // Workers write their titles in its place, so it must not be shorter than theirs.
  request.arguments = {program_invocation_name,
                       "[" + settings.pool + "/forkserver]" + worker::title_space()};
  if (!settings.module.empty()) request.arguments.push_back(settings.module);
  request.environment = settings.environment;
  request.environment_additions = {std::string(protocol::worker_mark) + "=" +
                                   protocol::fork_server_mark};
  request.drops_output = settings.drops_output;
  request.blocked = settings.blocked;
  process_ = os::spawn(request);
  socket_ = std::move(ours);
  protocol::Greeting const greeting{channel::protocol_version, settings.pool, settings.depth,
                                    preload_ended_ ? 0u : 1u};
  std::array<int, 2> const fds{settings.program, settings.preload};
  try {
    // The socket is empty and takes the packet at once. The pidfd reports a process that is dead
    // already.
    os::send_packet(socket_.get(), encode(greeting), std::span(fds).first(preload_ended_ ? 1 : 2),
                    false);
  } catch (std::exception const&) {
    end();
    throw;
  }
}

ForkServerProcess::~ForkServerProcess() { end(); }

bool ForkServerProcess::has_our_rights() const noexcept {
  return user_ == ::geteuid() && group_ == ::getegid();
}

ForkServerProcess::Order ForkServerProcess::order(protocol::ForkOrder const& order,
                                                  std::span<int const> fds) {
  if (gone_) return Order::nobody;
  try {
    switch (os::send_packet(socket_.get(), encode(order), fds, false)) {
      case os::SendResult::sent: break;
      case os::SendResult::would_block: return Order::later;
      case os::SendResult::closed: return Order::nobody;
    }
  } catch (std::exception const&) {  // no memory here or in the kernel
    return Order::later;
  }
  if (unanswered_++ == 0) waiting_since_ = now();
  return Order::given;
}

ForkServerProcess::Order ForkServerProcess::fork(std::uint64_t request_id, std::string title,
                                                 std::span<int const> fds) {
  return order({protocol::ForkOrder::Kind::fork, request_id, std::move(title)}, fds);
}

ForkServerProcess::Order ForkServerProcess::reap(std::uint64_t request_id) {
  return order({protocol::ForkOrder::Kind::reap, request_id}, {});
}

bool ForkServerProcess::busy() const noexcept { return unanswered_ >= max_unanswered; }

std::optional<ForkServerProcess::Word> ForkServerProcess::next() {
  if (gone_) return std::nullopt;
  try {
    os::Packet packet;
    switch (os::receive_packet(socket_.get(), packet, false, protocol::longest_message)) {
      case os::ReceiveResult::would_block: return std::nullopt;
      case os::ReceiveResult::closed: gone_ = true; return std::nullopt;
      case os::ReceiveResult::received: break;
    }
    if (!greeted_) {
      auto answer = protocol::decode_answer(packet.bytes);
      gone_ = !answer;
      if (gone_) return std::nullopt;
      greeted_ = true;
      waiting_since_ = now();
      return std::visit([](auto& word) { return Word(std::move(word)); }, *answer);
    }
    if (!preload_ended_) {
      auto report = protocol::decode_preload_report(packet.bytes);
      gone_ = !report;
      if (gone_) return std::nullopt;
      preload_ended_ = true;
      waiting_since_ = now();
      return *std::move(report);
    }
    auto report = protocol::decode_fork_report(packet.bytes);
    bool const forked = report && report->kind == protocol::ForkReport::Kind::forked;
    gone_ = !report || unanswered_ == 0 || packet.fds.size() != (forked ? 1u : 0u);
    if (gone_) return std::nullopt;
    --unanswered_;
    waiting_since_ = now();
    more_time_ = max_more_time;
    useful_ = useful_ || forked;
    return Forked{*std::move(report), forked ? std::move(packet.fds.front()) : os::UniqueFd()};
  } catch (std::exception const&) {  // an alien packet, or no descriptor is left
    gone_ = true;
    return std::nullopt;
  }
}

bool ForkServerProcess::gone() {
  return gone_ || (process_.pidfd && os::exited(process_.pidfd.get()));
}

std::optional<ForkServerProcess::TimePoint> ForkServerProcess::deadline() const noexcept {
  if (!came_up()) return detail::later(waiting_since_, start_timeout_);
  if (unanswered_ == 0) return std::nullopt;
  return waiting_since_ + answer_timeout;
}

bool ForkServerProcess::late(TimePoint now) noexcept {
  auto const limit = deadline();
  if (!limit || now < *limit) return false;
  pollfd word{socket_.get(), POLLIN, 0};
  if (::poll(&word, 1, 0) == 1) return false;  // an answer, or its end: next() and gone() tell
  if (!came_up() || more_time_ == 0) return true;
  if (os::activity_of(process_.pidfd.get(), process_.pid).stopped) return true;
  --more_time_;
  waiting_since_ = now;
  return false;
}

os::Exit ForkServerProcess::end() {
  gone_ = true;
  if (!process_.pidfd) return {};
  // A process that has become another user's ends by itself when the other end is closed.
  if (!os::signal_group(process_.pidfd.get(), process_.pid, SIGKILL)) socket_.reset();
  pollfd ended{process_.pidfd.get(), POLLIN, 0};
  while (::poll(&ended, 1, end_timeout_ms) < 0 && errno == EINTR) {
  }
  os::Exit const exit = os::reap(process_.pidfd.get(), process_.pid);
  process_.pidfd.reset();
  socket_.reset();
  return exit;
}

}  // namespace procpool::inline v0_1::parent
