// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The layout of the memory of a pipe, on which both ends agree: a control page, and two rings of
// bytes, one for each direction.
//
// A ring holds messages one behind the other: a MessageHeader, the bytes, and a gap up to the next
// multiple of 8. Positions are free-running byte counts. A message larger than the ring goes in
// pieces.
//
// Each word has one writing end, but for the two flags of sleepers, which either end may clear. Both
// processes can write all of it: a word is loaded once, checked, and then used.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace procpool::inline v0_1::handle {

// Two cache lines: the adjacent-line prefetcher pulls lines in pairs.
inline constexpr std::size_t pipe_line = 128;

inline constexpr std::size_t pipe_ring_bytes = 64 * 1024;
inline constexpr std::size_t pipe_control_bytes = 4096;
inline constexpr std::size_t pipe_bytes = pipe_control_bytes + 2 * pipe_ring_bytes;
inline constexpr std::uint64_t message_alignment = 8;

struct DirectionWords {
  alignas(pipe_line) std::atomic<std::uint64_t> tail;  // bytes sent
  // Behind the last message that is sent as a whole. If the tail is beyond it, a writer has died in
  // the middle of a message.
  std::atomic<std::uint64_t> tail_whole;
  alignas(pipe_line) std::atomic<std::uint64_t> head;  // bytes received
  std::atomic<std::uint64_t> head_whole;               // likewise, of a reader
  // Not 0: that end sleeps on its socket, until a packet comes.
  alignas(pipe_line) std::atomic<std::uint32_t> reader_sleeps;
  alignas(pipe_line) std::atomic<std::uint32_t> writer_sleeps;
};

struct PipeWords {
  DirectionWords directions[2];
};

struct MessageHeader {
  std::uint64_t size;  // bytes behind it
};

constexpr std::uint64_t message_end(std::uint64_t position) noexcept {
  return (position + message_alignment - 1) & ~(message_alignment - 1);
}

// True if an earlier owner of an end has died in the middle of a message: its position is beyond the
// last whole message.
constexpr bool is_torn(std::uint64_t position, std::uint64_t whole) noexcept {
  return position - whole != 0 && position - whole <= pipe_ring_bytes;
}

// Both throw PipeClosed.
[[noreturn]] void refuse_torn_end();
[[noreturn]] void refuse_destroyed_memory();

static_assert(std::is_standard_layout_v<PipeWords> && sizeof(PipeWords) <= pipe_control_bytes);
static_assert(pipe_ring_bytes % message_alignment == 0 &&
              sizeof(MessageHeader) % message_alignment == 0);

}  // namespace procpool::inline v0_1::handle
