// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueHand: one thread as a consumer of one queue: its seat, and whether it has an item. If items are
// given again, the bytes of the item also lie in shared memory, where another process finds them.
//
// One thread. The hands of a thread end with the thread, and those of a queue with its handle.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/sync_points.hpp>

#include "os/mapping.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

class ByteQueue;

struct QueueHand {
  std::weak_ptr<ByteQueue> queue;
  std::uint64_t queue_serial = 0;   // of that object
  std::uint64_t thread_serial = 0;  // os::ThreadId::serial: in a forked child, hands are its own
  std::size_t seat = 0;
  bool full = false;
  std::uint16_t attempts = 0;  // of the item
  unsigned element = 0;        // how deep in elements the item was taken: ElementScope::depth
  os::Mapping bytes{};         // of the seat's hand, if items are given again
  std::optional<detail::Bytes> kept{};  // the item, if the next pop gives it
  bool is_last_try = false;             // that was done
};

// The hands of the calling thread. At the end of an element, what was taken within it is done. An
// element that is left in the middle has no end: its items are those of a consumer that died.
class ThreadHands {
 public:
  // Null: it has none for this queue.
  static QueueHand* find(ByteQueue const& queue) noexcept;
  static QueueHand& add(ByteQueue& queue);
  static void remove(QueueHand const& hand) noexcept;
};

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
