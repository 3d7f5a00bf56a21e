// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueTray: the descriptors of the handles in the items of a queue. It is a pair of sockets, both
// ends of which each process has. Producers put a packet into it, under their lock, before they
// commit its item. Consumers look at the packet, under theirs, and drop it once head has left the
// item behind. So descriptors survive a death exactly as their item does.
//
// A producer that dies before the commit, and a consumer that dies before it drops the packet, leave
// a packet that belongs to no item. Packets are numbered, so the next consumer knows and drops it.
//
// Each process that has the queue can shut the sockets down, and can fill them. No call blocks.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0_1::handle {

class QueueTray {
 public:
  // Throws std::system_error when there are no sockets.
  QueueTray();
  // Of another process. Throws std::runtime_error when these are no sockets for packets; they are not
  // taken then.
  QueueTray(os::UniqueFd&& in, os::UniqueFd&& out);
  QueueTray(QueueTray const&) = delete;
  QueueTray& operator=(QueueTray const&) = delete;
  ~QueueTray();

  int in() const noexcept { return in_.get(); }
  int out() const noexcept { return out_.get(); }

  // ---- producers
  enum class Put : std::uint8_t {
    done,
    no_room,  // now, in the tray or in the system
    closed,   // a process has shut the sockets down, for all and for good
  };
  // Throws std::system_error when the system cannot send these descriptors, ENOBUFS or ENOMEM for want
  // of memory.
  Put put(std::uint32_t number, std::span<int const> descriptors);
  // The tray itself, and not the system, has no room.
  bool is_full() const noexcept;
  // Drops all packets. Under both locks, while no item has one.
  void clear();

  // ---- consumers
  // The descriptors of this packet, which stays; the packets ahead of it are dropped. Nothing: there
  // is no such packet, or it is dropped because only a faulty process can have sent it. Throws
  // std::system_error when this process has no memory or no numbers for them.
  std::optional<std::vector<os::UniqueFd>> look(std::uint32_t number);
  // After a look that has found it.
  void drop() noexcept;

 private:
  std::optional<std::vector<os::UniqueFd>> look_at_front();

  os::UniqueFd in_;
  os::UniqueFd out_;
};

}  // namespace procpool::inline v0_1::handle
