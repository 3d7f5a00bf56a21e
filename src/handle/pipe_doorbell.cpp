// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/pipe_doorbell.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <thread>
#include <utility>

namespace procpool::inline v0_1::handle {

namespace {

constexpr std::size_t max_packet_bytes = 64;
// In one call: an end that sends packets all the time holds up nobody for longer than these take.
constexpr int max_taken = 4096;

// The size of the next packet, and its bytes if it has a position. Negative: there is none.
ssize_t peek(int socket, std::uint64_t& position) noexcept {
  for (;;) {
    ssize_t const size =
        ::recv(socket, &position, sizeof position, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    // An end that goes with rings that it has not heard causes ECONNRESET once, ahead of its packets.
    if (size >= 0 || (errno != EINTR && errno != ECONNRESET)) return size;
  }
}

// Of a packet that is gone. It was too long or had too many descriptors, or there were no numbers for
// them.
bool is_lost(std::system_error const& error) noexcept {
  return error.code().value() == EPROTO || error.code().value() == EMFILE;
}

// A sleep that the system refuses is short: the caller looks again.
constexpr std::chrono::milliseconds refused_sleep{1};

}  // namespace

bool PipeDoorbell::ring() noexcept {
  constexpr char ring = 1;
  for (;;) {
    if (::send(socket_, &ring, 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EINTR) continue;
    // A full socket has rings that were not heard yet, and a shortage of memory passes: each sleep of
    // the other end ends by itself.
    return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
  }
}

PipeDoorbell::Heard PipeDoorbell::sleep(std::optional<detail::TimePoint> deadline) {
  using namespace std::chrono;
  // So that a ring which got lost costs time and nothing else.
  constexpr milliseconds longest{100};
  auto wait = longest;
  if (deadline) {
    auto const now = steady_clock::now();
    // A time in the far past has no difference to now.
    wait =
        *deadline <= now ? milliseconds(0) : std::min(longest, ceil<milliseconds>(*deadline - now));
  }
  pollfd one{socket_, POLLIN, 0};
  int const ready = ::poll(&one, 1, static_cast<int>(wait.count()));
  if (ready < 0 && errno != EINTR) {
    std::this_thread::sleep_for(std::min(wait, refused_sleep));
    return drop_rings() ? Heard::hung_up : Heard::nothing;
  }
  if (ready <= 0) return Heard::nothing;
  if (drop_rings() || (one.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return Heard::hung_up;
  return Heard::ring;
}

// Descriptors stay in the socket until their message is received: the end may be given away before.
bool PipeDoorbell::drop_rings() {
  for (int i = 0; i < max_taken; ++i) {
    std::uint64_t position = 0;
    ssize_t const size = peek(socket_, position);
    if (size == sizeof position) {
      // Its message comes at once, unless the other process is faulty.
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      return false;
    }
    if (size < 0) return false;
    try {
      if (!receive(os::Receive::takes)) return true;
    } catch (std::system_error const& error) {
      if (is_lost(error)) continue;
      // It stays in the socket, so the next sleep would not be one.
      std::this_thread::sleep_for(refused_sleep);
      return false;
    }
  }
  return false;
}

bool PipeDoorbell::receive(os::Receive how) {
  // Descriptors of other kinds, which a faulty process may send along, are not closed on this thread.
  return os::receive_packet(socket_, packet_, false, max_packet_bytes,
                            os::Takes::memory_files_and_sockets, how) != os::ReceiveResult::closed;
}

void PipeDoorbell::reserve() {
  packet_.bytes.reserve(max_packet_bytes);
  packet_.fds.reserve(os::max_packet_fds);
}

bool PipeDoorbell::send(std::uint64_t position, std::span<int const> descriptors) {
  for (;;) {
    try {
      return os::send_packet(socket_, std::as_bytes(std::span(&position, 1)), descriptors, true) ==
             os::SendResult::sent;
    } catch (std::system_error const& error) {
      // After a quarter of a second. Descriptors of other programs of the user count as well.
      if (error.code().value() != ETOOMANYREFS) throw;
    }
    if (hung_up()) return false;
  }
}

std::vector<os::UniqueFd> PipeDoorbell::take(std::uint64_t position) {
  std::vector<os::UniqueFd> taken;
  for (int i = 0; i < max_taken; ++i) {
    std::uint64_t next = 0;
    ssize_t const size = peek(socket_, next);
    if (size < 0 && errno != EAGAIN) os::throw_errno("procpool could not look into a pipe");
    bool const has_position = size == sizeof next;
    // Positions never fall.
    if (size < 0 || (has_position && static_cast<std::int64_t>(next - position) > 0)) break;
    // Of several for one message the last is that of the message: the others' senders have died.
    if (has_position && next == position) look(taken);
    try {
      if (!receive(os::Receive::takes)) break;
    } catch (std::system_error const& error) {
      if (!is_lost(error)) throw;
    }
    packet_.fds.clear();
  }
  return taken;
}

// The packet stays until its descriptors are there, so a refusal loses none.
void PipeDoorbell::look(std::vector<os::UniqueFd>& taken) {
  try {
    receive(os::Receive::looks);
    taken = std::move(packet_.fds);
  } catch (std::system_error const& error) {
    if (error.code().value() != EPROTO) throw;
    taken.clear();  // too many, of a faulty process
  }
}

bool PipeDoorbell::hung_up() const noexcept {
  pollfd one{socket_, 0, 0};
  return ::poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void PipeDoorbell::hang_up() noexcept { ::shutdown(socket_, SHUT_RDWR); }

}  // namespace procpool::inline v0_1::handle
