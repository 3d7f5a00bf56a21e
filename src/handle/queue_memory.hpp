// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueMemory: the memory file of a queue and the view of it. Any thread may call anything. Views
// stay in forked children. A crash leaves nothing: the file has no name.

#include <cstddef>
#include <cstdint>

#include "handle/queue_layout.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::handle {

class QueueMemory {
 public:
  // A new queue. Throws std::system_error when there is no memory.
  explicit QueueMemory(QueueShape const& shape);
  // A queue that another process has made. Throws std::runtime_error when the file is no queue.
  explicit QueueMemory(os::UniqueFd file);
  QueueMemory(QueueMemory const&) = delete;
  QueueMemory& operator=(QueueMemory const&) = delete;

  QueueShape const& shape() const noexcept { return shape_; }
  os::Memfd const& file() const noexcept { return file_; }
  QueueWords& words() const noexcept { return *reinterpret_cast<QueueWords*>(view_.data()); }
  SeatWords& seat(std::size_t index) const noexcept {
    return reinterpret_cast<SeatWords*>(view_.data() + seats_offset)[index];
  }

  std::byte* ring() const noexcept { return view_.data() + ring_offset; }
  std::uint64_t ring_bytes() const noexcept { return ring_bytes_; }
  // Memory for these bytes of the ring. Throws std::bad_alloc when there is none.
  void allocate_ring(std::uint64_t from, std::uint64_t to);
  void discard_ring(std::uint64_t from, std::uint64_t to) noexcept;

  // The first `size` bytes of the hand of a seat. To write, memory for them comes first. Throws
  // std::bad_alloc when there is none.
  os::Mapping map_hand(std::size_t seat, std::size_t size, os::Access access);
  void discard_hand(std::size_t seat) noexcept;

  // Throws QueueBroken if the queue is broken.
  void check() const {
    // Relaxed: nothing else depends on it.
    if (words().broken.load(std::memory_order_relaxed) != 0) [[unlikely]]
      refuse_broken();
  }
  // The queue holds what it cannot: from now on every call in every process throws. Throws
  // QueueBroken.
  [[noreturn]] void break_queue() const;

 private:
  void set_shape(QueueShape const& shape) noexcept;
  [[noreturn]] void refuse_broken() const;
  std::uint64_t hand_offset(std::size_t seat) const noexcept {
    return ring_offset + ring_bytes_ + seat * hand_bytes_;
  }
  std::uint64_t file_bytes() const noexcept { return hand_offset(seat_count); }

  os::Memfd file_;
  os::Mapping view_;  // all but the hands
  QueueShape shape_{};
  std::uint64_t ring_bytes_ = 0;
  std::uint64_t hand_bytes_ = 0;  // of address space; 0 if no item is given again
};

}  // namespace procpool::inline v0_1::handle
