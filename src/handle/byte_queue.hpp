// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ByteQueue: a queue of byte strings between processes. Any thread of any process that has the queue
// may call anything.
//
// Two locks between processes order the producers and the consumers. One store commits a push, and
// one store takes an item out. So a death at any point leaves the queue as it was before or after
// the store:
//
//   a death in                        leaves
//   push, before the commit           nothing: the next producer writes over it
//   push, after it                    the item
//   pop, before head moves            the item at head
//   pop, until the item is done       an orphan: given again, or counted as lost
//   taking an orphan over             the item in two hands: given twice
//
// A queue whose words hold what they cannot is broken: every call throws QueueBroken. So is one whose
// tray was shut down or is filled by a faulty process. So is one whose lock is held for a minute by a
// thread that is not stopped and moves nothing.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/sync_points.hpp>

#include "handle/queue_hand.hpp"
#include "handle/queue_memory.hpp"
#include "handle/queue_ring.hpp"
#include "handle/queue_seats.hpp"
#include "handle/queue_tray.hpp"
#include "handle/shared_doorbell.hpp"
#include "os/process_lock.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

class ByteQueue : public std::enable_shared_from_this<ByteQueue> {
 public:
  using TimePoint = detail::TimePoint;
  using Deadline = std::optional<TimePoint>;  // nothing: for ever

  // A call that does not wait for items or room. It waits for a lock, but no longer than this.
  static constexpr Deadline at_once = TimePoint::min();
  static constexpr std::chrono::milliseconds lock_grace{100};

  // Throws std::system_error when there is no memory.
  static std::shared_ptr<ByteQueue> create(QueueShape const& shape);
  // Of another process, from the descriptors of such a queue, which it takes. Throws
  // std::runtime_error when they are of no queue.
  static std::shared_ptr<ByteQueue> adopt(std::vector<os::UniqueFd>& descriptors);
  ByteQueue(ByteQueue const&) = delete;
  ByteQueue& operator=(ByteQueue const&) = delete;
  // The hands of this process are empty from then on.
  ~ByteQueue();

  enum class Push : std::uint8_t { done, full, closed };
  // Throws std::length_error when the item is larger than the queue, std::bad_alloc when there is no
  // memory for it. It was not taken then.
  // The descriptors go with the item, and stay open here: at most os::max_packet_fds, and only if the
  // queue has a tray.
  Push push(std::span<std::byte const> item, Deadline const& deadline = {},
            std::span<int const> descriptors = {});

  enum class Pop : std::uint8_t { item, nothing, ended };
  // Empties this thread's hand, and takes the next item into `item` and into the hand. `ended`: the
  // queue is drained. Throws SetupError when there is no seat for this thread.
  // `descriptors`: those that came with the item. Such an item is never given again. Throws
  // std::system_error if there are no numbers for them; the item stays then.
  Pop pop(detail::Bytes& item, Deadline const& deadline = {},
          std::vector<os::UniqueFd>* descriptors = nullptr);
  // The item in this thread's hand could not be used for want of memory: the next pop gives it, unless
  // that is what the last one did.
  void keep(detail::Bytes& item) noexcept;
  // Empties this thread's hand.
  void done() noexcept;
  // How often the item in this thread's hand was given before.
  unsigned attempts() const noexcept;

  // Nothing is committed after it has returned.
  void close();
  bool closed() const;
  // Closed, and no item will ever be given again.
  bool drained();
  std::size_t size() const;
  std::uint64_t lost();

  QueueShape const& shape() const noexcept { return memory_.shape(); }
  os::Memfd const& file() const noexcept { return memory_.file(); }
  // The file, and the ends of the tray if there is one.
  std::vector<int> descriptors() const;
  std::uint64_t serial() const noexcept { return serial_; }
  // For tests: how long a lock may be held by a thread that moves nothing.
  void set_patience(std::chrono::milliseconds time) noexcept { patience_ = time; }

  // ---- for ThreadHands
  void done(QueueHand& hand) noexcept;
  void leave(QueueHand& hand) noexcept;

 private:
  class Locked;
  enum class Take : std::uint8_t { item, nothing, ended, needs_memory, no_lock };
  // no_tray: the system has no room for more descriptors on their way.
  enum class Put : std::uint8_t { done, full, closed, no_tray };
  // What a call of pop() fills.
  struct Taken {
    detail::Bytes& item;
    std::vector<os::UniqueFd>* descriptors;
    std::size_t size = 0;  // of the item
  };

  // Of a shape, or of a file.
  template <class Source>
  ByteQueue(std::in_place_t, Source&& source);

  Locked lock_producers(Deadline const& deadline);
  Locked lock_consumers(Deadline const& deadline);
  os::LockResult wait_for(os::ProcessLock& lock, std::atomic<std::uint64_t> const& moves,
                          Deadline const& deadline) const;

  Put try_push(std::span<std::byte const> item, std::span<int const> descriptors,
               Deadline const& deadline);
  bool put_packet(std::uint32_t packet, std::span<int const> descriptors, Deadline const& deadline);
  std::uint32_t next_packet() noexcept;
  QueueHand* hand_of_thread(Deadline const& deadline);
  Take try_take(QueueHand& hand, Taken& taken, Deadline const& deadline);
  void take_front(QueueHand& hand, Taken& taken, QueueRing::Front const& front);
  Take take_over(QueueHand& hand, detail::Bytes& item, QueueSeats::Orphan const& orphan);
  void fill(QueueHand& hand, detail::Bytes const& item, std::uint16_t attempts) noexcept;
  bool has_memory(QueueHand const& hand, detail::Bytes const& item,
                  std::uint64_t size) const noexcept;
  void get_memory(QueueHand& hand, detail::Bytes& item, std::size_t size);
  bool is_look_due() noexcept;
  void give_memory_back();

  QueueMemory memory_;
  QueueWords& words_;
  os::ProcessLock producers_;
  os::ProcessLock consumers_;
  QueueRing ring_;
  QueueSeats seats_;
  SharedDoorbell items_;
  SharedDoorbell room_;
  std::optional<QueueTray> tray_;
  std::uint64_t const serial_;
  bool const redeliver_;
  std::chrono::milliseconds patience_{std::chrono::minutes(1)};
  // When this process looks for orphans next: milliseconds of the coarse clock.
  std::atomic<std::int64_t> next_look_{0};
};

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
