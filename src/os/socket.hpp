// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Packets with descriptors between two processes: AF_UNIX SOCK_SEQPACKET pairs and SCM_RIGHTS.
//
// Threat model: the peer is faulty. It may send packets of any size and content, with any number of
// descriptors, close its end, or never read. It cannot block a call that does not wait, cannot
// raise SIGPIPE here, and cannot make descriptors pile up: unwanted ones are closed before the
// error is thrown. Any thread may send and receive; packets stay whole. Packets that a process sent
// before its death are still received, and `closed` after them.

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

// The most descriptors that one packet may carry.
inline constexpr std::size_t max_packet_fds = 8;

std::pair<UniqueFd, UniqueFd> socket_pair();

// The process that made the pair of which `fd` is an end, and its effective user then, in the
// numbers of this process (0: a process that has no number here). Nothing: `fd` is no such socket.
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  friend bool operator==(Peer const&, Peer const&) noexcept = default;
};
std::optional<Peer> packet_peer(int fd) noexcept;

enum class SendResult {
  sent,
  would_block,  // the peer has not read enough; never with `wait`
  closed,       // the end of the peer is gone, or `fd` is no such socket any more
};

// Sends one packet, all of it or nothing. `bytes` must not be empty: the receiver could not tell
// the packet from a closed peer. The descriptors stay open here. Throws when the system refuses,
// for example a packet larger than the buffer of the socket (EMSGSIZE). With `wait`, this function
// and receive_packet() retry for a quarter of a second if the kernel lacks memory.
SendResult send_packet(int fd, std::span<std::byte const> bytes, std::span<int const> fds,
                       bool wait);

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
  bool foreign = false;  // it came with a descriptor that was not taken
};

// The descriptors that are taken. Others are discarded without a look at them, where they block
// nobody. Sockets: of the kind of socket_pair(). They may hold packets that were never received, see
// close_socket().
enum class Takes { all, memory_files, memory_files_and_sockets };

enum class ReceiveResult { received, would_block, closed };

// Whether a packet that was received is gone. A look at it gives its descriptors too.
enum class Receive { takes, looks };

// Receives one packet into `into`, whose former content is dropped (its memory is used again).
// Throws EPROTO when the packet was longer than `max_bytes` or had more than `max_packet_fds`
// descriptors, and EMFILE when there were no numbers left for them. The descriptors are closed then,
// and a packet that is taken is gone.
ReceiveResult receive_packet(int fd, Packet& into, bool wait, std::size_t max_bytes = 16384,
                             Takes takes = Takes::all, Receive receive = Receive::takes);

// Closes the socket. Packets that were never received are closed with it; their descriptors must
// not block this thread.
void close_socket(UniqueFd fd) noexcept;

// The same for one of several descriptors of a socket, which others go on using.
void close_packet_socket(UniqueFd fd) noexcept;

}  // namespace procpool::inline v0_1::os
