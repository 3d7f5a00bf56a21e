// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Link: moves messages between the client of a cluster and its hosts. It knows peers and bytes, and
// nothing of pools. MPI is one; memory is another (memory_link.hpp).
//
// Each process has one link, and one thread that owns it. All functions belong to that thread, except
// ring(), name() and largest_message(), which any thread may call.
//
// What a link must do:
// - Peers have numbers. On the client they are its hosts, from 0 without a gap; on a host there is one
//   peer, the client, with the number 0.
// - The messages of one peer to another arrive whole, once and in the order of send(), or they do not
//   arrive. A link that has lost one for good says `down`. (What is above a link survives one that
//   breaks this: it numbers its messages, and drops what comes twice or from an earlier life.)
// - No function blocks for a peer that does not read. send() keeps the message until the network takes
//   it. The sender bounds what is under way to a peer, so a link needs no limit of its own.
// - Nothing has to be noticed in time: those above send beats. `down` is for what a link knows for
//   certain, such as a connection that was reset.
// - Nothing of the bytes is looked at.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::cluster {

class PROCPOOL_API Link {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Peer = std::size_t;

  struct Event {
    enum class Kind : std::uint8_t {
      up,       // messages can be sent to the peer. Once, and before its first message
      message,  // the peer has sent `bytes`
      down      // the peer is gone for good: nothing more arrives from it. `text` says why
    };
    Kind kind = Kind::message;
    Peer peer = 0;
    detail::Bytes bytes{};
    std::string text{};  // "its process has ended"
  };

  Link() = default;
  Link(Link const&) = delete;
  Link& operator=(Link const&) = delete;
  // Frees what is left, after close(). Never blocks for a peer.
  virtual ~Link();

  // Hands a message of at most largest_message() bytes over, to be sent as soon as the network takes
  // it. A message to a peer that is down, or was dropped, goes nowhere. Throws std::bad_alloc, having
  // done nothing.
  virtual void send(Peer peer, detail::Bytes&& message) = 0;

  // Moves bytes until there is something for the caller, until somebody rings, or until `deadline`
  // (nothing: for ever). Appends what has happened to `events`, in the order of each peer; nothing is
  // appended if it only rang, or the time was over. A link that has to poll chooses how long it
  // sleeps, so that an idle process takes little of the processor. Throws std::bad_alloc, and may be called
  // again.
  virtual void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) = 0;

  // Ends a wait() of the link's thread, the present or else the next one. Any thread; a few hundred
  // nanoseconds at most if nobody sleeps. Rings before a wait may become one.
  virtual void ring() noexcept = 0;

  // Forgets the peer: what waits to be sent to it is thrown away, and what arrives from it is no event.
  // Frees what the network keeps for it as far as that does not block.
  virtual void drop(Peer peer) = 0;

  // The name of the machine of the peer, as people know it: for errors and the log. Any thread.
  virtual std::string name(Peer peer) const = 0;

  // The most bytes of one message: at least 32 MiB. Any thread.
  virtual std::size_t largest_message() const = 0;

  // Nothing more will be sent or received. Sends what was handed over to peers that are up, for as long
  // as `patience`. The last call of the link's thread.
  virtual void close(std::chrono::milliseconds patience) = 0;
};

}  // namespace procpool::inline v0_1::cluster
