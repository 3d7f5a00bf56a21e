// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueSeats: the threads that take items from a queue, and the items that they have in hand. Each
// thread writes its own seat. All other functions are called under the lock of the consumers.
//
// A thread that dies with an item in its hand leaves an orphan. The item is given again, or counted
// as lost. A death at any point of a take-over loses no item and counts none twice.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <procpool/detail/engine/sync_points.hpp>

#include "handle/queue_layout.hpp"
#include "handle/queue_memory.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

class QueueSeats {
 public:
  explicit QueueSeats(QueueMemory& memory) noexcept
      : memory_(memory), words_(memory.words()), redeliver_(memory.shape().redeliver) {}

  struct Item {
    std::uint32_t number = 0;
    std::uint64_t size = 0;
    std::uint16_t attempts = 0;  // how often it was given before
  };

  // A seat for the calling thread. Frees those of the dead now and then. Throws SetupError when all
  // belong to living threads.
  std::size_t claim(Position head);

  // ---- by the thread that has the seat

  // Its hand has the bytes of the item at head.
  void take(std::size_t seat, Item const& item) noexcept;
  // The item is its own: head has left it behind, or it was taken over.
  void hold(std::size_t seat, Item const& item) noexcept;
  // It is done with its item. Without the lock.
  void clear(std::size_t seat) noexcept;
  // It takes no more items. Without the lock.
  void leave(std::size_t seat) noexcept;
  // All threads that have a seat through this object take no more items. Without the lock.
  void leave_all() noexcept;

  // ---- about others

  // A thread has died under the lock of the consumers: ends what it was about to do.
  void settle(Position head) noexcept;

  struct Orphan {
    std::size_t seat;
    Item item;
  };
  // The oldest item of a dead thread that is to be given again. Those that are not given again are
  // counted.
  std::optional<Orphan> find_orphan(Position head) { return look(head, false); }
  // The seat of a dead thread, after its item has another place.
  void free(std::size_t seat) noexcept;

  // True if an item in a hand may be given again.
  bool any_may_return() const noexcept;

 private:
  std::size_t used() const noexcept;
  std::optional<Orphan> look(Position head, bool empty_hands_too);
  void count_lost(SeatWords& seat) noexcept;
  void finish_count(HandState hand) noexcept;

  QueueMemory& memory_;
  QueueWords& words_;
  std::uint64_t const redeliver_;
  // The thread that got the seat through this object; 0: none. While one object of a process for a
  // queue ends, or loses the race to be the first, another one is in use.
  std::array<std::atomic<std::uint32_t>, seat_count> seated_{};
};

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
