// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueRing: the records of a queue between head and tail. Producers call the functions of
// producers under their lock, and consumers theirs. The rest is for any thread.
//
// One store of tail commits a record, and one store of head takes it out. A death before the store
// leaves the ring as it was. Every word is checked; what cannot be breaks the queue (QueueBroken).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <procpool/detail/engine/sync_points.hpp>

#include "handle/queue_layout.hpp"
#include "handle/queue_memory.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

class QueueRing {
 public:
  explicit QueueRing(QueueMemory& memory) noexcept;

  // The most bytes of an item.
  std::uint64_t max_size() const noexcept { return (max_units_ - 1) * unit; }

  // ---- any thread: hints
  bool empty() const noexcept;
  std::size_t items() const noexcept;
  bool may_fit(std::uint64_t size) const noexcept;
  bool is_large() const noexcept { return words_.span.load(std::memory_order_relaxed) > kept_span; }

  // ---- producers
  enum class Room : std::uint8_t {
    none,   // within the limits of the queue
    grows,  // once more of the ring is in use
    here,
  };
  Room room_for(std::uint64_t size);
  // Brings more of the ring into use, under the lock of the consumers too. Throws std::bad_alloc, and
  // nothing has changed.
  void grow(std::uint64_t size);
  // Appends an item for which there is room.
  void push(std::span<std::byte const> item, std::uint32_t packet = 0);
  // Gives the memory of an empty ring back.
  void shrink();

  // ---- consumers
  struct Front {
    Position position;
    std::uint64_t size = 0;  // of the item
    Position left;           // in the ring, once it is taken
    std::uint64_t span = 0;
    std::uint32_t packet = 0;  // RecordHeader::packet
  };
  std::optional<Front> front();
  void copy(Front const& front, std::byte* to) const noexcept;
  void pop(Front const& front) noexcept;
  Position head() const noexcept { return unpack(words_.head.load(std::memory_order_relaxed)); }

  // So little is left that producers are worth waking.
  bool is_half_empty(Position left) const noexcept {
    return left.items <= max_items_ / 2 && left.units <= max_units_ / 2;
  }

 private:
  bool fits(Position used, std::uint64_t units, std::uint64_t most) const noexcept {
    return used.items < max_items_ && used.units <= most && units <= most - used.units;
  }
  Position checked_used(Position tail, Position head) const;
  std::uint64_t checked_span() const;
  void write(std::uint64_t at, void const* from, std::size_t size, std::uint64_t span) noexcept;
  void read(std::uint64_t at, void* to, std::size_t size, std::uint64_t span) const noexcept;

  QueueMemory& memory_;
  QueueWords& words_;
  std::uint64_t const max_items_;
  std::uint64_t const max_units_;
};

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
