// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/queue_tray.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "os/socket.hpp"

namespace procpool::inline v0_1::handle {
namespace {

// More than a socket holds: somebody fills it all the time.
constexpr int max_left_over = 4096;

// Whatever it has, closing it must not block this thread. False: there is none.
bool drop_front(int fd) {
  os::Packet packet;
  try {
    return os::receive_packet(fd, packet, false, sizeof(std::uint32_t), os::Takes::memory_files) !=
           os::ReceiveResult::would_block;
  } catch (std::system_error const&) {  // too long, or too many descriptors: it is gone
    return true;
  }
}

}  // namespace

QueueTray::QueueTray() {
  auto [in, out] = os::socket_pair();
  in_ = std::move(in);
  out_ = std::move(out);
}

QueueTray::QueueTray(os::UniqueFd&& in, os::UniqueFd&& out) {
  if (!os::packet_peer(in.get()) || !os::packet_peer(out.get())) {
    throw std::runtime_error("the tray of a queue is no pair of sockets");
  }
  in_ = std::move(in);
  out_ = std::move(out);
}

QueueTray::~QueueTray() {
  os::close_packet_socket(std::move(in_));
  os::close_packet_socket(std::move(out_));
}

QueueTray::Put QueueTray::put(std::uint32_t number, std::span<int const> descriptors) {
  try {
    switch (os::send_packet(in_.get(), std::as_bytes(std::span(&number, 1)), descriptors, false)) {
      case os::SendResult::sent: return Put::done;
      case os::SendResult::would_block: return Put::no_room;
      case os::SendResult::closed: break;
    }
    return Put::closed;
  } catch (std::system_error const& error) {
    // The user has too many descriptors on their way.
    if (error.code().value() == ETOOMANYREFS) return Put::no_room;
    throw;
  }
}

bool QueueTray::is_full() const noexcept {
  pollfd one{in_.get(), POLLOUT, 0};
  return ::poll(&one, 1, 0) == 0;
}

void QueueTray::clear() {
  for (int i = 0; i < max_left_over && drop_front(out_.get()); ++i) {
  }
}

std::optional<std::vector<os::UniqueFd>> QueueTray::look(std::uint32_t number) {
  for (int i = 0; i < max_left_over; ++i) {
    std::uint32_t found = 0;
    ssize_t const size =
        ::recv(out_.get(), &found, sizeof found, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EINTR || errno == ECONNRESET) continue;
      if (errno == EAGAIN) return std::nullopt;
      os::throw_errno("procpool could not look into the tray of a queue");
    }
    if (size == sizeof found && found == number) return look_at_front();
    drop_front(out_.get());
  }
  return std::nullopt;
}

std::optional<std::vector<os::UniqueFd>> QueueTray::look_at_front() {
  os::Packet packet;
  try {
    auto const result = os::receive_packet(out_.get(), packet, false, sizeof(std::uint32_t),
                                           os::Takes::all, os::Receive::looks);
    if (result != os::ReceiveResult::received) return std::nullopt;
    return std::move(packet.fds);
  } catch (std::system_error const& error) {
    if (error.code().value() != EPROTO) throw;
    // Its descriptors are too many, so a faulty process has sent it. It must not stay.
    drop_front(out_.get());
    return std::nullopt;
  }
}

// The descriptors are also in the hands of this thread, so nothing ends with the packet.
void QueueTray::drop() noexcept {
  std::uint32_t number = 0;
  int const kept = errno;
  ssize_t got = -1;
  do got = ::recv(out_.get(), &number, sizeof number, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  errno = kept;
}

}  // namespace procpool::inline v0_1::handle
