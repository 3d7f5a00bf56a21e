// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Outbound: the sending half of one worker. It knows the functions, the resources and the blocks
// that the worker has, and puts whatever a chunk needs into the inbox ahead of the chunk.
//
// Lives as long as its worker. Not synchronised: the mutex of the slot guards it. No call blocks, and
// only bytes move. The worker sees nothing before ParentEnd::publish().
//
// A chunk goes as a whole or not at all. What goes ahead of it goes in parts if the inbox has no room
// for all: resources and registrations stay with the worker, and the next attempt goes on behind
// them.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/handle/resource.hpp>

#include "channel/parent_end.hpp"
#include "parent/chunk.hpp"
#include "parent/function_table.hpp"
#include "parent/peer_buffers.hpp"

namespace procpool::inline v0_1::detail {
class Share;
}

namespace procpool::inline v0_1::parent {

class Outbound {
 public:
  // All of these outlive it. Descriptors go through the socket `control`, in the order of the frames
  // that need them.
  Outbound(channel::ParentEnd& channel, PeerBuffers& peer_buffers, int control) noexcept
      : channel_(channel),
        peer_buffers_(peer_buffers),
        control_(control),
        inline_limit_(channel::inline_limit(channel.ring_bytes())) {}

  // Makes the memory files of shared values above the limit. Takes as long as the values are large, so
  // it comes before the mutex. Throws std::system_error.
  static void seal_large_values(Chunk const& chunk, std::uint64_t inline_limit);

  // Puts the chunk, and ahead of it whatever it needs and the worker lacks. `block` holds its bytes;
  // null: they travel in the ring. Returns the serial of the first element. Nothing: there is no room
  // now. Throws BadFrame if the worker wrote an impossible cursor, and any other exception if this
  // chunk cannot be sent.
  std::optional<std::uint64_t> put(Chunk const& chunk, detail::MessageBlock const* block);

  // A resource that the worker was sent and that still lives here. Null: there is none of that id.
  std::shared_ptr<detail::Resource> given(std::uint64_t id) const;

  enum class Notices : std::uint8_t { none, put, no_room };
  // Puts the notices about message memory, which otherwise go ahead of the next chunk. Notices without
  // room are kept. Throws BadFrame.
  Notices put_notices();
  // The same for the resources that nobody has any more.
  Notices put_evictions();

 private:
  // A payload, and the descriptor that goes ahead of its frame. -1: none.
  struct PayloadRef : channel::ParentEnd::PayloadRef {
    int file = -1;
  };

  // False: there is no room now, in the socket or in the system.
  bool send_packet(std::span<std::byte const> bytes, std::span<int const> descriptors);
  // False: there is no room now, and nothing of it went out.
  bool send_payload(PayloadRef const& payload_ref);
  bool put_resources(detail::Resource::List const& resources);
  bool put_value(detail::Share& share);
  bool put_descriptors(detail::Resource const& resource);
  // The place of the function in the worker's table. Nothing: there is no room now.
  std::optional<std::size_t> put_function(detail::Task const& task);
  std::optional<std::uint64_t> put_chunk(Chunk const& chunk, std::size_t function,
                                         PayloadRef const& payload_ref);

  channel::ParentEnd& channel_;
  PeerBuffers& peer_buffers_;
  int const control_;
  std::uint64_t const inline_limit_;
  FunctionTable functions_;
  std::unordered_map<std::uint64_t, std::weak_ptr<detail::Resource>> given_;  // the worker has them
  std::uint64_t ended_ = 0;  // Resource::ended() when given_ was last looked through
  // Since when the system has had no room for descriptors on their way.
  std::optional<detail::TimePoint> crowded_since_;
};

}  // namespace procpool::inline v0_1::parent
