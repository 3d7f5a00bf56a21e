// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The layout of the memory of a queue, on which all processes agree.
//
//   control    QueueWords
//   seats      one for each thread that takes items
//   ring       records {RecordHeader, bytes}, aligned to 16 bytes, between head and tail
//   hands      one for each seat: a copy of the item that the thread has taken
//
// Positions are free-running counts of items and of units of 16 bytes. The ring has `span` bytes in
// use: the record at position p lies at 16 * p modulo `span`. The memory file is sparse. Memory
// comes with the span, and with the hands that are used.
//
// Each process that has the queue can write every word. A word is loaded once, checked, and then
// used.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "handle/shared_doorbell.hpp"

namespace procpool::inline v0_1::handle {

// Two cache lines: the adjacent-line prefetcher pulls lines in pairs.
inline constexpr std::size_t line = 128;

inline constexpr std::uint64_t queue_magic = 0x31'657565'7571'7070;  // "ppqueue1"
inline constexpr std::size_t unit = 16;
inline constexpr std::size_t seat_count = 256;
// Of the largest queue. Differences of positions have 32 bits.
inline constexpr std::uint64_t max_queue_items = std::uint64_t{1} << 31;
inline constexpr std::uint64_t max_queue_bytes = unit * (std::uint64_t{1} << 31);
// HandState::attempts has 16 bits.
inline constexpr std::uint64_t max_redeliver = 0xffff;

// What a queue was made with.
struct QueueShape {
  std::uint64_t type;       // of its items: a hash
  std::uint64_t items;      // that wait, at most
  std::uint64_t bytes;      // of their records, at most
  std::uint64_t redeliver;  // how often an item is given again
  std::uint64_t tray;       // not 0: items may hold handles, see QueueTray
};

struct Position {
  std::uint32_t items = 0;
  std::uint32_t units = 0;

  bool operator==(Position const&) const = default;
  // The items and units between two positions.
  friend Position operator-(Position a, Position b) noexcept {
    return {a.items - b.items, a.units - b.units};
  }
  friend Position operator+(Position a, Position b) noexcept {
    return {a.items + b.items, a.units + b.units};
  }
};

// One word, so that no death separates the two.
constexpr std::uint64_t pack(Position position) noexcept {
  return (std::uint64_t{position.items} << 32) | position.units;
}
constexpr Position unpack(std::uint64_t word) noexcept {
  return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
}

struct RecordHeader {
  std::uint64_t size;    // of the item
  std::uint32_t number;  // of the item: Position::items
  std::uint32_t packet;  // in the tray; 0: none
};

// The units of a record.
constexpr std::uint64_t record_units(std::uint64_t size) noexcept {
  return (sizeof(RecordHeader) + size + unit - 1) / unit;
}

// What a thread has in its hand.
enum class Hold : std::uint8_t {
  nothing = 0,
  taking = 1,  // the item at head, by a thread that holds the lock of the consumers
  item = 2,    // head has left it behind
  losing = 3,  // the thread has died, and its item is being counted as lost
};

struct HandState {
  Hold hold = Hold::nothing;
  std::uint16_t attempts = 0;  // how often the item was given before
  std::uint32_t number = 0;    // of the item. losing: what `lost` will be
};

constexpr std::uint64_t pack(HandState state) noexcept {
  return (std::uint64_t{state.number} << 32) | (std::uint64_t{state.attempts} << 8) |
         static_cast<std::uint64_t>(state.hold);
}
constexpr HandState unpack_hand(std::uint64_t word) noexcept {
  return {static_cast<Hold>(word & 0xff), static_cast<std::uint16_t>(word >> 8),
          static_cast<std::uint32_t>(word >> 32)};
}

struct alignas(line / 2) SeatWords {
  std::atomic<std::uint32_t> thread;  // 0: the seat is free
  std::atomic<std::uint64_t> start;   // os::start_time of the thread
  std::atomic<std::uint64_t> hand;    // HandState
  std::atomic<std::uint64_t> size;    // of the item in the hand
};

// Written before any other process has the queue.
struct QueueHeader {
  std::uint64_t magic;
  QueueShape shape;
};

struct QueueWords {
  QueueHeader header;

  alignas(line) std::atomic<std::uint32_t> closed;
  std::atomic<std::uint32_t> broken;

  alignas(line) std::atomic<std::uint32_t> producers;  // the lock under which tail moves
  std::atomic<std::uint64_t> head_seen;                // by producers: not beyond head
  std::atomic<std::uint32_t> packets;                  // the number of the last one in the tray
  alignas(line) std::atomic<std::uint64_t> tail;       // Position behind the last record
  std::atomic<std::uint64_t> span;                     // bytes of the ring in use

  alignas(line) std::atomic<std::uint32_t> consumers;  // the lock under which head moves
  std::atomic<std::uint64_t> tail_seen;                // by consumers: not beyond tail
  std::atomic<std::uint64_t> lost;                     // items whose consumer died
  std::atomic<std::uint32_t> seats;                    // behind the last one ever used
  alignas(line) std::atomic<std::uint64_t> head;       // Position of the first record

  alignas(line) DoorbellWords items;
  alignas(line) DoorbellWords room;
};

inline constexpr std::size_t seats_offset = 4096;
inline constexpr std::size_t seats_bytes = seat_count * sizeof(SeatWords);
// A multiple of the page size of any machine.
inline constexpr std::size_t ring_offset = 64 * 1024;

// The bytes of the ring in use: at first, and at least of a queue that gives memory back.
inline constexpr std::uint64_t min_span = 64 * 1024;
inline constexpr std::uint64_t kept_span = 1024 * 1024;

static_assert(std::is_standard_layout_v<QueueWords> && std::is_standard_layout_v<SeatWords>);
static_assert(sizeof(QueueWords) <= seats_offset && seats_offset + seats_bytes <= ring_offset);
static_assert(sizeof(RecordHeader) == unit);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace procpool::inline v0_1::handle
