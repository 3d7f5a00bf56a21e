// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/queue_seats.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>

#include <procpool/errors.hpp>

#include "os/process.hpp"
#include "os/thread_id.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {
namespace {

// True if it is certain that the thread that began at that time has ended.
bool has_ended(std::uint32_t thread, std::uint64_t start) noexcept {
  auto const number = static_cast<pid_t>(thread);
  if (number <= 0) return true;
  // 0: that thread could not read its own, for want of a descriptor.
  if (std::uint64_t const now = os::start_time(number); now != 0 && start != 0) return now != start;
  // There is no such thread, it waits to be reaped, or /proc does not show it.
  if (::kill(number, 0) != 0 && errno == ESRCH) return true;
  char const state = os::thread_state(number);
  return state == 'Z' || state == 'X';
}

HandState hand_of(SeatWords const& seat) noexcept {
  // Acquire: the bytes of the hand, and its size.
  return unpack_hand(seat.hand.load(std::memory_order_acquire));
}

void store(SeatWords& seat, HandState hand) noexcept {
  // Release: the bytes of the hand, and its size. Who takes the item over may be another process.
  seat.hand.store(pack(hand), std::memory_order_release);
}

}  // namespace

std::size_t QueueSeats::used() const noexcept {
  return std::min<std::size_t>(words_.seats.load(std::memory_order_relaxed), seat_count);
}

std::size_t QueueSeats::claim(Position head) {
  std::size_t const before = used();
  auto const find_free = [&] {
    std::size_t place = 0;
    while (place < before && memory_.seat(place).thread.load(std::memory_order_acquire) != 0) {
      ++place;
    }
    return place;
  };
  std::size_t place = find_free();
  // A look at a thread takes some microseconds.
  if (place == before && std::has_single_bit(before)) {
    static_cast<void>(look(head, true));
    place = find_free();
  }
  if (place == seat_count) {
    throw SetupError("this queue has " + std::to_string(seat_count) +
                     " threads that take items, and can have no more");
  }
  SeatWords& seat = memory_.seat(place);
  std::uint32_t const thread = os::this_thread_id().number;
  // A thread that dies in between has a free seat, or one with an empty hand.
  seat.hand.store(0, std::memory_order_relaxed);
  seat.start.store(os::start_time(static_cast<pid_t>(thread)), std::memory_order_relaxed);
  seated_[place].store(thread, std::memory_order_relaxed);  // relaxed: see leave_all()
  seat.thread.store(thread, std::memory_order_release);
  if (place == before) {
    words_.seats.store(static_cast<std::uint32_t>(before + 1), std::memory_order_release);
  }
  PROCPOOL_SYNC_POINT(queue_seated);
  return place;
}

// ---- by the thread that has the seat

void QueueSeats::take(std::size_t index, Item const& item) noexcept {
  SeatWords& seat = memory_.seat(index);
  seat.size.store(item.size, std::memory_order_relaxed);  // relaxed: see store()
  store(seat, {Hold::taking, item.attempts, item.number});
  PROCPOOL_SYNC_POINT(queue_hand_taking);
}

void QueueSeats::hold(std::size_t index, Item const& item) noexcept {
  SeatWords& seat = memory_.seat(index);
  seat.size.store(item.size, std::memory_order_relaxed);  // relaxed: see store()
  store(seat, {Hold::item, item.attempts, item.number});
  PROCPOOL_SYNC_POINT(queue_hand_full);
}

void QueueSeats::clear(std::size_t seat) noexcept {
  store(memory_.seat(seat), {});
  PROCPOOL_SYNC_POINT(queue_hand_cleared);
}

void QueueSeats::leave(std::size_t seat) noexcept {
  clear(seat);
  memory_.discard_hand(seat);
  seated_[seat].store(0, std::memory_order_relaxed);  // relaxed: see leave_all()
  memory_.seat(seat).thread.store(0, std::memory_order_release);
}

void QueueSeats::leave_all() noexcept {
  for (std::size_t i = 0, count = used(); i < count; ++i) {
    std::uint32_t const thread = memory_.seat(i).thread.load(std::memory_order_acquire);
    // Relaxed: the object ends, so its users have ended before.
    if (thread == 0 || thread != seated_[i].load(std::memory_order_relaxed)) continue;
    // In a forked child the threads of the parent are not its own.
    if (::syscall(SYS_tgkill, ::getpid(), static_cast<pid_t>(thread), 0) == 0) leave(i);
  }
}

// ---- about others

// Only a thread that holds the lock of the consumers takes an item or counts one as lost. So each
// that is found in the middle has died there.
void QueueSeats::settle(Position head) noexcept {
  for (std::size_t i = 0, count = used(); i < count; ++i) {
    SeatWords& seat = memory_.seat(i);
    HandState hand = hand_of(seat);
    if (hand.hold == Hold::taking) {
      hand.hold = hand.number == head.items ? Hold::nothing : Hold::item;
    } else if (hand.hold == Hold::losing) {
      finish_count(hand);
      hand = {};
    } else {
      continue;
    }
    store(seat, hand);
    PROCPOOL_SYNC_POINT(queue_settled);
  }
}

std::optional<QueueSeats::Orphan> QueueSeats::look(Position head, bool empty_hands_too) {
  std::optional<Orphan> oldest;
  for (std::size_t i = 0, count = used(); i < count; ++i) {
    SeatWords& seat = memory_.seat(i);
    std::uint32_t const thread = seat.thread.load(std::memory_order_acquire);
    HandState const hand = hand_of(seat);
    bool const full = hand.hold == Hold::item;
    if (thread == 0 || !(full || empty_hands_too) ||
        !has_ended(thread, seat.start.load(std::memory_order_relaxed))) {
      continue;
    }
    if (!full || hand.attempts >= redeliver_) {
      if (full) count_lost(seat);
      free(i);
    } else if (!oldest || head.items - hand.number > head.items - oldest->item.number) {
      oldest = Orphan{i, {hand.number, seat.size.load(std::memory_order_relaxed), hand.attempts}};
    }
  }
  return oldest;
}

// The hand says what `lost` will be, so the thread that finds it after a death sees whether the item was
// counted.
void QueueSeats::count_lost(SeatWords& seat) noexcept {
  std::uint64_t const lost = words_.lost.load(std::memory_order_relaxed);
  HandState const hand{Hold::losing, 0, static_cast<std::uint32_t>(lost + 1)};
  store(seat, hand);
  PROCPOOL_SYNC_POINT(queue_losing);
  finish_count(hand);
}

void QueueSeats::finish_count(HandState hand) noexcept {
  std::uint64_t const lost = words_.lost.load(std::memory_order_relaxed);
  if (hand.number == static_cast<std::uint32_t>(lost)) return;
  words_.lost.store(lost + 1, std::memory_order_release);
  PROCPOOL_SYNC_POINT(queue_lost);
}

void QueueSeats::free(std::size_t index) noexcept {
  store(memory_.seat(index), {});
  PROCPOOL_SYNC_POINT(queue_orphan_cleared);
  memory_.discard_hand(index);
  memory_.seat(index).thread.store(0, std::memory_order_release);
  PROCPOOL_SYNC_POINT(queue_seat_freed);
}

bool QueueSeats::any_may_return() const noexcept {
  for (std::size_t i = 0, count = used(); i < count; ++i) {
    HandState const hand = hand_of(memory_.seat(i));
    if (hand.hold != Hold::nothing && hand.attempts < redeliver_) return true;
  }
  return false;
}

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
