// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PipeDoorbell: the end of one direction of a pipe that can sleep and wake the other end. It is a packet
// socket, so one poll hears the other end ring, and the kernel say that nobody has it any more. The
// descriptors of the handles in a message come the same way, ahead of the message.
//
// One thread, but hang_up() is for any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>

#include "os/socket.hpp"

namespace procpool::inline v0_1::handle {

class PipeDoorbell {
 public:
  // The socket outlives it.
  explicit PipeDoorbell(int socket) noexcept : socket_(socket) {}
  PipeDoorbell(PipeDoorbell const&) = delete;
  PipeDoorbell& operator=(PipeDoorbell const&) = delete;

  // Sends the descriptors for the message at this position. Blocks while the other end has not read
  // enough, and while the system has no room for more descriptors on their way. False: nobody has the
  // other end any more. Throws std::system_error when the system cannot send these descriptors.
  bool send(std::uint64_t position, std::span<int const> descriptors);
  // Those that came for the message at this position, which may be none. Others before it are
  // dropped: their sender has died before it sent the message. Throws std::system_error when this
  // process has no memory or no numbers for them. They stay then.
  std::vector<os::UniqueFd> take(std::uint64_t position);

  // Wakes the other end. False: nobody has it any more.
  bool ring() noexcept;
  enum class Heard { ring, nothing, hung_up };
  // All memory that a sleep needs. Throws std::bad_alloc.
  void reserve();
  // Blocks until the other end rings, or is gone, or until the deadline. Throws std::bad_alloc unless
  // memory is reserved.
  Heard sleep(std::optional<detail::TimePoint> deadline);
  // True if nobody has the other end any more. A system call.
  bool hung_up() const noexcept;
  // From now on the other end hears that nobody has this one, even if there are copies of it.
  void hang_up() noexcept;

  int fd() const noexcept { return socket_; }

 private:
  // True: the other end is gone.
  bool drop_rings();
  // The next packet. False: there is none, and the other end is gone.
  bool receive(os::Receive how);
  void look(std::vector<os::UniqueFd>& taken);

  int const socket_;
  os::Packet packet_;  // keeps its memory
};

}  // namespace procpool::inline v0_1::handle
