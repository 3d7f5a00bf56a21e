// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Sending and receiving packets with descriptors. The threat model stands in the header. A crash
// between two calls loses at most the packet in hand: the kernel closes the descriptors in it.
#include "os/socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "os/discard.hpp"

namespace procpool::inline v0_1::os {
namespace {

constexpr std::size_t control_size = CMSG_SPACE(max_packet_fds * sizeof(int));
// A receiver has room for all descriptors that the kernel may pass. The kernel closes a descriptor
// that finds no room, on the receiving thread.
constexpr std::size_t max_received = 253;
constexpr std::size_t receive_size =
    CMSG_SPACE(max_received * sizeof(int)) + CMSG_SPACE(sizeof(ucred));

// Calls `take` with every descriptor of a packet.
template <class Take>
void each_descriptor(msghdr& message, Take&& take) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    // A faulty peer can have the kernel add a pidfd to each packet.
    constexpr int scm_pidfd = 4;  // of Linux 6.5
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == scm_pidfd) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(c), sizeof received);
      UniqueFd const unwanted(received);
      continue;
    }
    if (c->cmsg_type != SCM_RIGHTS) continue;
    std::size_t const count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      take(UniqueFd(received));
    }
  }
}

// False for the end of the stream. Newer kernels name a sender with number 0 then, older ones none.
bool has_sender(msghdr& message) noexcept {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(c), sizeof sender);
    if (sender.pid != 0) return true;
  }
  return false;
}

// Waits on a socket that may be non-blocking, because its other holder made it so.
void wait_for(int fd, short events) {
  pollfd one{fd, events, 0};
  if (::poll(&one, 1, -1) < 0 && errno != EINTR) throw_errno("procpool could not wait on a socket");
}

// Errors of a temporary shortage in the kernel: memory, or room for descriptors under way.
bool passes(int error) noexcept {
  return error == ENOMEM || error == ENOBUFS || error == ETOOMANYREFS;
}

// Waits a few milliseconds for the end of a shortage. False: there were enough tries.
bool be_patient(int& tries) noexcept {
  constexpr int max_tries = 50;
  if (++tries > max_tries) return false;
  timespec const pause{0, 5'000'000};
  ::nanosleep(&pause, nullptr);
  return true;
}

// The memory that the next packet needs. Most packets are short. Asking costs less than clearing
// memory for the longest one.
std::size_t room_for_next(int fd, bool wait, std::size_t most) noexcept {
  constexpr std::size_t not_worth_asking = 4096;
  if (most <= not_worth_asking) return most;
  ssize_t const size = ::recv(fd, nullptr, 0, MSG_PEEK | MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT));
  // An error comes again with the packet, or is over by then.
  return size < 0 ? not_worth_asking : std::min(static_cast<std::size_t>(size), most);
}

// Takes over the descriptors of a packet, before anything can lose them. Returns their number.
std::size_t adopt(msghdr& message, Packet& into, Takes takes) noexcept {
  std::size_t count = 0;
  each_descriptor(message, [&](UniqueFd received) {
    ++count;
    bool const ours =
        takes == Takes::all || is_memory_file(received.get()) ||
        (takes == Takes::memory_files_and_sockets && packet_peer(received.get()).has_value());
    into.foreign = into.foreign || !ours;
    if (ours && into.fds.size() < max_packet_fds) {
      into.fds.push_back(std::move(received));  // there is room, see receive_packet
    } else if (takes != Takes::all) {
      discard(std::move(received));
    }
  });
  return count;
}

// Who takes all trusts the peer.
void drop_descriptors(Packet& packet, Takes takes) noexcept {
  if (takes != Takes::all) {
    for (UniqueFd& each : packet.fds) discard(std::move(each));
  }
  packet.fds.clear();
}

// The answer of a socket whose next packet is empty, or that has come to its end. The kernel tells the
// time of a packet, and finds no room to do so.
bool has_empty_packet(int fd) noexcept {
  int const on = 1;
  int const off = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
  msghdr message{};
  ssize_t const size = ::recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
  // Others go on using the socket.
  ::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &off, sizeof off);
  return size >= 0 && (message.msg_flags & MSG_CTRUNC) != 0;
}

}  // namespace

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw_errno("procpool could not make a pair of sockets");
  }
  UniqueFd first(ends[0]);
  UniqueFd second(ends[1]);
  first = above_standard(std::move(first));
  second = above_standard(std::move(second));
  return {std::move(first), std::move(second)};
}

std::optional<Peer> packet_peer(int fd) noexcept {
  int domain = -1;
  int type = -1;
  ucred peer{};
  auto const ask = [fd](int what, auto& answer) {
    socklen_t size = sizeof answer;
    return ::getsockopt(fd, SOL_SOCKET, what, &answer, &size) == 0 && size == sizeof answer;
  };
  if (!ask(SO_DOMAIN, domain) || domain != AF_UNIX || !ask(SO_TYPE, type) ||
      type != SOCK_SEQPACKET || !ask(SO_PEERCRED, peer)) {
    return std::nullopt;
  }
  return Peer{peer.pid, peer.uid};
}

SendResult send_packet(int fd, std::span<std::byte const> bytes, std::span<int const> fds,
                       bool wait) {
  if (bytes.empty() || fds.size() > max_packet_fds) {
    throw_error(EINVAL, "procpool cannot send a packet of " + std::to_string(bytes.size()) +
                            " bytes with " + std::to_string(fds.size()) + " descriptors");
  }
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::byte control[control_size] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  for (int tries = 0;;) {
    if (::sendmsg(fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0) {
      return SendResult::sent;
    }
    if (wait && passes(errno) && be_patient(tries)) continue;
    switch (errno) {
      case EINTR: continue;
      case EAGAIN:
        if (!wait) return SendResult::would_block;
        wait_for(fd, POLLOUT);
        continue;
      case EBADF:
        // Also the answer if one of `fds` is not open. That is a mistake of the caller: calling the
        // peer dead for it would cost a worker.
        for (int const passed : fds) {
          if (::fcntl(passed, F_GETFD) < 0) {
            throw_error(EBADF, "procpool cannot send descriptor " + std::to_string(passed) +
                                   ": it is not open");
          }
        }
        return SendResult::closed;
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN:
      case ENOTSOCK: return SendResult::closed;
      default:
        throw_errno("procpool could not send a packet of " + std::to_string(bytes.size()) +
                    " bytes with " + std::to_string(fds.size()) + " descriptors");
    }
  }
}

ReceiveResult receive_packet(int fd, Packet& into, bool wait, std::size_t max_bytes, Takes takes,
                             Receive receive) {
  into.fds.clear();
  into.foreign = false;
  // All memory is allocated before the packet is taken. After that nothing may fail.
  into.fds.reserve(max_packet_fds);
  into.bytes.resize(room_for_next(fd, wait, max_bytes));
  iovec part{into.bytes.data(), into.bytes.size()};
  alignas(cmsghdr) std::byte control[receive_size];
  msghdr message{};
  ssize_t n = -1;
  for (int tries = 0;;) {
    message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    n = ::recvmsg(
        fd, &message,
        MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT) | (receive == Receive::looks ? MSG_PEEK : 0));
    if (n >= 0) break;
    if (wait && passes(errno) && be_patient(tries)) continue;
    switch (errno) {
      case EINTR: continue;
      // A peer that died before it read all packets causes this error once, ahead of the packets
      // that it had sent. Those count, so look again. The end itself reads as 0 bytes.
      case ECONNRESET: continue;
      case EAGAIN:
        if (wait) {
          wait_for(fd, POLLIN);
          continue;
        }
        into.bytes.clear();
        return ReceiveResult::would_block;
      case EBADF:
      case ENOTCONN:
      case ENOTSOCK: into.bytes.clear(); return ReceiveResult::closed;
      default: into.bytes.clear(); throw_errno("procpool could not receive a packet");
    }
  }
  std::size_t const count = adopt(message, into, takes);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || count > max_packet_fds) {
    drop_descriptors(into, takes);
    into.bytes.clear();
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      throw_error(EPROTO, "procpool received a packet of more than " + std::to_string(max_bytes) +
                              " bytes");
    }
    if (count > max_packet_fds) {
      throw_error(EPROTO, "procpool received a packet with more than " +
                              std::to_string(max_packet_fds) + " descriptors");
    }
    throw_error(EMFILE, "procpool received a packet with more descriptors than the " +
                            std::to_string(count) + " that could be taken");
  }
  into.bytes.resize(static_cast<std::size_t>(n));
  if (n == 0) {
    // The end, or an empty packet. send_packet() never sends one, so the peer counts as gone.
    drop_descriptors(into, takes);
    return ReceiveResult::closed;
  }
  try {
    for (UniqueFd& received : into.fds) received = above_standard(std::move(received));
  } catch (std::system_error const& error) {
    drop_descriptors(into, takes);
    into.bytes.clear();
    // Whatever the error: as above, only this packet is lost.
    throw std::system_error(
        EMFILE, std::system_category(),
        std::string("procpool received a packet whose descriptors could not be kept: ") +
            error.what());
  }
  return ReceiveResult::received;
}

void close_socket(UniqueFd fd) noexcept {
  if (!fd) return;
  // After the shutdown nothing more comes. A packet may have descriptors and no bytes. Credentials
  // tell such a packet from the end.
  int const on = 1;
  ::shutdown(fd.get(), SHUT_RDWR);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  constexpr int max_waiting = 10'000;
  for (int i = 0; i < max_waiting; ++i) {
    alignas(cmsghdr) std::byte control[receive_size];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t const n = ::recvmsg(fd.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ECONNRESET) continue;
    if (n < 0) break;
    bool any = n > 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || has_sender(message);
    each_descriptor(message, [&any](UniqueFd received) {
      any = true;
      discard(std::move(received));
    });
    if (!any) break;
  }
}

void close_packet_socket(UniqueFd fd) noexcept {
  if (!fd) return;
  // If this is the last descriptor, whatever the packets have is closed with it.
  ssize_t const waiting = ::recv(fd.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (waiting > 0 || (waiting == 0 && has_empty_packet(fd.get()))) close_elsewhere(std::move(fd));
}

}  // namespace procpool::inline v0_1::os
