#include "parent/fork_server_client.hpp"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>

#include "channel/layout.hpp"
#include "os/socket.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0::parent {
namespace {

using namespace std::chrono_literals;

// From one answer to the next, while it owes some.
constexpr auto patience = 1s;
// That its socket has room for, and that do not let descriptors pile up in it.
constexpr std::size_t max_unanswered = 48;
constexpr int end_patience_ms = 1000;

std::chrono::steady_clock::time_point now() noexcept { return std::chrono::steady_clock::now(); }

}  // namespace

ForkServerClient::ForkServerClient(Making const& making)
    : user_(::geteuid()),
      group_(::getegid()),
      start_timeout_(making.start_timeout),
      waiting_since_(now()) {
  auto [ours, theirs] = os::socket_pair();
  os::SpawnRequest request;
  request.image = making.image;
  request.control = theirs.get();
  // No shorter than the titles of the workers, which take its place.
  request.arguments = {program_invocation_name,
                       "[" + making.pool + "/template]" + worker::title_space()};
  request.environment = making.environment;
  request.environment_additions = {std::string(protocol::worker_mark) + "=" +
                                   protocol::fork_server_mark};
  request.silent = making.silent;
  request.blocked = making.blocked;
  process_ = os::spawn(request);
  socket_ = std::move(ours);
  int const program = making.program;
  try {
    // The socket is empty and takes it at once; a template that is dead already reports itself.
    os::send_packet(socket_.get(),
                    encode(protocol::Greeting{channel::protocol_version, making.pool}),
                    std::span(&program, 1), false);
  } catch (std::exception const&) {
    end();
    throw;
  }
}

ForkServerClient::~ForkServerClient() { end(); }

bool ForkServerClient::has_our_rights() const noexcept {
  return user_ == ::geteuid() && group_ == ::getegid();
}

ForkServerClient::Order ForkServerClient::order(protocol::ForkOrder const& order,
                                                std::span<int const> fds) {
  if (gone_) return Order::nobody;
  try {
    switch (os::send_packet(socket_.get(), encode(order), fds, false)) {
      case os::SendResult::sent: break;
      case os::SendResult::would_block: return Order::later;
      case os::SendResult::closed: return Order::nobody;
    }
  } catch (std::exception const&) {  // no memory, here or in the kernel
    return Order::later;
  }
  if (unanswered_++ == 0) waiting_since_ = now();
  return Order::given;
}

ForkServerClient::Order ForkServerClient::fork(std::uint64_t request_id, std::string title,
                                               std::span<int const> fds) {
  return order({protocol::ForkOrder::Kind::fork, request_id, std::move(title)}, fds);
}

ForkServerClient::Order ForkServerClient::reap(std::uint64_t request_id) {
  return order({protocol::ForkOrder::Kind::reap, request_id}, {});
}

bool ForkServerClient::busy() const noexcept { return unanswered_ >= max_unanswered; }

std::optional<ForkServerClient::Word> ForkServerClient::next() {
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
    auto report = protocol::decode_fork_report(packet.bytes);
    bool const forked = report && report->kind == protocol::ForkReport::Kind::forked;
    gone_ = !report || unanswered_ == 0 || packet.fds.size() != (forked ? 1u : 0u);
    if (gone_) return std::nullopt;
    --unanswered_;
    waiting_since_ = now();
    useful_ = useful_ || forked;
    return Forked{*std::move(report), forked ? std::move(packet.fds.front()) : os::UniqueFd()};
  } catch (std::exception const&) {  // not a packet of ours, or no descriptors for it
    gone_ = true;
    return std::nullopt;
  }
}

bool ForkServerClient::gone() {
  return gone_ || (process_.pidfd && os::exited(process_.pidfd.get()));
}

std::optional<ForkServerClient::TimePoint> ForkServerClient::deadline() const noexcept {
  if (!greeted_) return detail::later(waiting_since_, start_timeout_);
  if (unanswered_ == 0) return std::nullopt;
  return waiting_since_ + patience;
}

os::Exit ForkServerClient::end() {
  gone_ = true;
  if (!process_.pidfd) return {};
  // Should it be another user's by now: it ends by itself when nobody has the other end any more.
  if (!os::signal_group(process_.pidfd.get(), process_.pid, SIGKILL)) socket_.reset();
  pollfd ended{process_.pidfd.get(), POLLIN, 0};
  while (::poll(&ended, 1, end_patience_ms) < 0 && errno == EINTR) {
  }
  os::Exit const exit = os::reap(process_.pidfd.get(), process_.pid);
  process_.pidfd.reset();
  socket_.reset();
  return exit;
}

}  // namespace procpool::inline v0::parent
