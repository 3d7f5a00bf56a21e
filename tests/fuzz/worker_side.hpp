// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A hostile worker's side of a channel. The input chooses what it writes, where in the memory that it can
// write, and when.

#include <sys/mman.h>

#include <algorithm>

#include "channel/crash_words.hpp"
#include "channel/parent_end.hpp"
#include "fuzz/fuzz.hpp"
#include "os/mapping.hpp"

namespace fuzz {

inline constexpr std::size_t ring_bytes = 4096;

class WorkerSide {
 public:
  explicit WorkerSide(procpool::channel::ParentEnd const& parent)
      : outbox_(parent.outbox(), procpool::channel::outbox_control_bytes, ring_bytes,
                procpool::os::Access::read_write) {}

  procpool::channel::OutboxWords& words() const {
    return *reinterpret_cast<procpool::channel::OutboxWords*>(outbox_.control());
  }

  enum Act : std::uint8_t { set_word, move_word, record, values, bytes, acts };

  void act(std::uint8_t what, Input& in) {
    switch (what % acts) {
      case set_word: set(in.take(), in.take<std::uint64_t>()); break;
      case move_word: {
        auto const which = in.take();
        set(which, get(which) + static_cast<std::uint64_t>(in.take<std::int16_t>()));
        break;
      }
      case record: {
        procpool::channel::OutboxHeader header{};
        header.kind = static_cast<procpool::channel::OutboxKind>(in.take() % 4);
        header.where = static_cast<procpool::channel::Where>(in.take() % 4);
        header.size = in.take<std::uint16_t>();
        header.serial = in.take<std::uint16_t>();
        header.count = in.take();
        header.nanoseconds = in.take();
        // The tail moves by its size, or anywhere.
        std::uint64_t const step = in.take();
        publish(header, in.take_bytes(header.size),
                step % 2 == 0 ? size_of(header) : step / 2 * 16);
        break;
      }
      case values: {  // as a correct worker writes them
        std::uint64_t const count = in.take();
        std::uint64_t const size = in.take();
        procpool::channel::OutboxHeader header{};
        header.kind = procpool::channel::OutboxKind::values;
        header.size = count * size;
        header.serial = next_;
        header.count = count;
        next_ += count;
        words().claim = next_;
        words().done = procpool::channel::pack_done(next_, 0);
        publish(header, {}, size_of(header));
        break;
      }
      default: {
        std::size_t const all = procpool::channel::control_bytes + ring_bytes;
        std::size_t const at = in.take<std::uint16_t>() % all;
        auto const some = in.take_bytes(std::min<std::size_t>(in.take(), all - at));
        if (!some.empty()) std::memcpy(outbox_.control() + at, some.data(), some.size());
      }
    }
  }

 private:
  static std::uint64_t size_of(procpool::channel::OutboxHeader const& header) {
    return procpool::channel::aligned(sizeof header +
                                      procpool::channel::in_ring(header.where, header.size));
  }

  void publish(procpool::channel::OutboxHeader const& header, std::span<std::byte const> payload,
               std::uint64_t step) {
    std::uint64_t const tail = words().tail;
    std::size_t const at = tail % ring_bytes;
    std::memcpy(outbox_.ring() + at, &header, std::min(sizeof header, 2 * ring_bytes - at));
    std::size_t const room = 2 * ring_bytes - std::min(2 * ring_bytes, at + sizeof header);
    std::size_t const some = std::min(payload.size(), room);
    if (some != 0) std::memcpy(outbox_.ring() + at + sizeof header, payload.data(), some);
    words().tail = tail + step;
  }

  std::uint64_t get(std::uint8_t which) const {
    auto& out = words();
    switch (which % 8) {
      case 0: return out.claim;
      case 1: return out.done;
      case 2: return out.tail;
      case 3: return out.inbox_head;
      case 4: return out.parked;
      case 5: return out.stage;
      case 6: return out.exit_hint;
      default: return out.listens;
    }
  }
  void set(std::uint8_t which, std::uint64_t value) const {
    auto& out = words();
    switch (which % 8) {
      case 0: out.claim = value; break;
      case 1: out.done = value; break;
      case 2: out.tail = value; break;
      case 3: out.inbox_head = value; break;
      case 4: out.parked = static_cast<std::uint32_t>(value); break;
      case 5: out.stage = static_cast<std::uint32_t>(value); break;
      case 6: out.exit_hint = static_cast<std::uint32_t>(value); break;
      default: out.listens = value; break;
    }
  }

  procpool::os::RingMapping outbox_;
  std::uint64_t next_ = 0;
};

// Reads all bytes.
inline std::uint8_t sum_of(std::span<std::byte const> bytes) {
  std::uint8_t sum = 0;
  for (std::byte const byte : bytes)
    sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(byte));
  return sum;
}

}  // namespace fuzz
