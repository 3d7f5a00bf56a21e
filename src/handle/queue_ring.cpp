// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/queue_ring.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

QueueRing::QueueRing(QueueMemory& memory) noexcept
    : memory_(memory),
      words_(memory.words()),
      max_items_(memory.shape().items),
      max_units_(memory.shape().bytes / unit) {}

// ---- any thread

bool QueueRing::empty() const noexcept {
  // seq_cst: against the store of a push, see SharedDoorbell.
  return words_.tail.load(std::memory_order_seq_cst) == words_.head.load(std::memory_order_seq_cst);
}

std::size_t QueueRing::items() const noexcept {
  Position const head = unpack(words_.head.load(std::memory_order_acquire));
  Position const tail = unpack(words_.tail.load(std::memory_order_acquire));
  return std::min<std::uint64_t>((tail - head).items, max_items_);
}

bool QueueRing::may_fit(std::uint64_t size) const noexcept {
  Position const tail = unpack(words_.tail.load(std::memory_order_seq_cst));
  // seq_cst: against the store of a pop, see SharedDoorbell.
  Position const head = unpack(words_.head.load(std::memory_order_seq_cst));
  return fits(tail - head, record_units(size), max_units_);
}

Position QueueRing::checked_used(Position tail, Position head) const {
  Position const used = tail - head;
  if (used.items > max_items_ || used.units > max_units_ || used.items > used.units ||
      (used.items == 0) != (used.units == 0)) {
    memory_.break_queue();
  }
  return used;
}

std::uint64_t QueueRing::checked_span() const {
  // Relaxed: it changes while the ring is empty, or under both locks.
  std::uint64_t const span = words_.span.load(std::memory_order_relaxed);
  // std::has_single_bit is a call where the processor may lack the instruction.
  bool const power_of_two = (span & (span - 1)) == 0;
  if (!power_of_two || span < min_span || span > memory_.ring_bytes()) {
    memory_.break_queue();
  }
  return span;
}

// A record may lie across the end of the ring.
void QueueRing::write(std::uint64_t at, void const* from, std::size_t size,
                      std::uint64_t span) noexcept {
  if (size == 0) return;
  std::uint64_t const offset = at & (span - 1);
  std::size_t const first = std::min<std::uint64_t>(size, span - offset);
  std::memcpy(memory_.ring() + offset, from, first);
  if (first != size) {
    std::memcpy(memory_.ring(), static_cast<std::byte const*>(from) + first, size - first);
  }
}

void QueueRing::read(std::uint64_t at, void* to, std::size_t size,
                     std::uint64_t span) const noexcept {
  if (size == 0) return;
  std::uint64_t const offset = at & (span - 1);
  std::size_t const first = std::min<std::uint64_t>(size, span - offset);
  std::memcpy(to, memory_.ring() + offset, first);
  if (first != size) {
    std::memcpy(static_cast<std::byte*>(to) + first, memory_.ring(), size - first);
  }
}

// ---- producers

QueueRing::Room QueueRing::room_for(std::uint64_t size) {
  std::uint64_t const units = record_units(size);
  std::uint64_t const here = std::min(max_units_, checked_span() / unit);
  // Relaxed: only producers store these two, under their lock.
  Position const tail = unpack(words_.tail.load(std::memory_order_relaxed));
  Position const seen = unpack(words_.head_seen.load(std::memory_order_relaxed));
  // Head has a cache line of its own, which the consumers write. It is fetched when it is needed.
  if (fits(tail - seen, units, here)) return Room::here;
  // Acquire: consumers have copied what lies before it.
  std::uint64_t const word = words_.head.load(std::memory_order_acquire);
  Position const used = checked_used(tail, unpack(word));
  words_.head_seen.store(word, std::memory_order_relaxed);
  if (fits(used, units, here)) return Room::here;
  return fits(used, units, max_units_) ? Room::grows : Room::none;
}

void QueueRing::grow(std::uint64_t size) {
  std::uint64_t const span = checked_span();
  Position const tail = unpack(words_.tail.load(std::memory_order_relaxed));
  Position const head = unpack(words_.head.load(std::memory_order_relaxed));
  Position const used = checked_used(tail, head);
  if (used.units * unit > span) memory_.break_queue();
  std::uint64_t const wanted =
      std::min(std::bit_ceil((used.units + record_units(size)) * unit), memory_.ring_bytes());
  if (wanted <= span) return;
  memory_.allocate_ring(span, wanted);
  // Records keep their positions, so some have to move: behind the part in use, and never over
  // others. The old copies count until the store below.
  std::uint64_t const begin = std::uint64_t{head.units} * unit;
  std::uint64_t const end = begin + used.units * unit;
  std::uint64_t const border = std::min((begin | (span - 1)) + 1, end);
  auto const move = [&](std::uint64_t from, std::uint64_t to) {
    std::byte* const old = memory_.ring() + (from & (span - 1));
    std::byte* const now = memory_.ring() + (from & (wanted - 1));
    if (old != now) std::memcpy(now, old, to - from);
  };
  move(begin, border);
  move(border, end);
  PROCPOOL_SYNC_POINT(queue_ring_copied);
  // Release: see checked_span(). The locks order it anyway.
  words_.span.store(wanted, std::memory_order_release);
  PROCPOOL_SYNC_POINT(queue_ring_grown);
}

void QueueRing::push(std::span<std::byte const> item, std::uint32_t packet) {
  std::uint64_t const span = checked_span();
  Position const tail = unpack(words_.tail.load(std::memory_order_relaxed));
  RecordHeader const header{item.size(), tail.items, packet};
  std::uint64_t const at = std::uint64_t{tail.units} * unit;
  write(at, &header, sizeof header, span);
  write(at + sizeof header, item.data(), item.size(), span);
  PROCPOOL_SYNC_POINT(queue_record_written);
  auto const units = static_cast<std::uint32_t>(record_units(item.size()));
  // Publishes the record (release), and against sleepers, see SharedDoorbell.
  words_.tail.store(pack(tail + Position{1, units}), std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(queue_committed);
}

void QueueRing::shrink() {
  std::uint64_t const span = checked_span();
  if (span <= kept_span || !empty()) return;
  // Consumers look at the span only if there are records, and records come under this lock.
  words_.span.store(kept_span, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(queue_ring_shrunk);
  memory_.discard_ring(kept_span, span);
}

// ---- consumers

std::optional<QueueRing::Front> QueueRing::front() {
  // Relaxed: only consumers store these two, under their lock.
  Position const head = unpack(words_.head.load(std::memory_order_relaxed));
  Position tail = unpack(words_.tail_seen.load(std::memory_order_relaxed));
  if (tail == head) {
    // seq_cst: acquires the records, and against notifiers, see SharedDoorbell.
    std::uint64_t const word = words_.tail.load(std::memory_order_seq_cst);
    tail = unpack(word);
    if (tail == head) return std::nullopt;
    words_.tail_seen.store(word, std::memory_order_relaxed);
  }
  Position const used = checked_used(tail, head);
  if (used.items == 0) memory_.break_queue();
  std::uint64_t const span = checked_span();
  std::byte* const place = memory_.ring() + (std::uint64_t{head.units} * unit & (span - 1));
  auto& words = *reinterpret_cast<RecordHeader*>(place);
  // Once: any process may change it at any time. Relaxed: tail publishes it.
  RecordHeader const header{std::atomic_ref(words.size).load(std::memory_order_relaxed),
                            std::atomic_ref(words.number).load(std::memory_order_relaxed),
                            std::atomic_ref(words.packet).load(std::memory_order_relaxed)};
  if (header.number != head.items || header.size > max_size() ||
      record_units(header.size) > used.units) {
    memory_.break_queue();
  }
  auto const units = static_cast<std::uint32_t>(record_units(header.size));
  return Front{head, header.size, used - Position{1, units}, span, header.packet};
}

void QueueRing::copy(Front const& front, std::byte* to) const noexcept {
  std::uint64_t const at = std::uint64_t{front.position.units} * unit + sizeof(RecordHeader);
  read(at, to, front.size, front.span);
}

void QueueRing::pop(Front const& front) noexcept {
  auto const units = static_cast<std::uint32_t>(record_units(front.size));
  // Gives the place to the producers (release), and against sleepers, see SharedDoorbell.
  words_.head.store(pack(front.position + Position{1, units}), std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(queue_taken);
}

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
