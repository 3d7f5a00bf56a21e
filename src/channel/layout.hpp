// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The words and frames of a channel: the layout of a worker's two rings, on which both processes agree.
//
// Each word has one writing process. All words that the parent writes lie in the inbox mapping, which
// the worker maps read-only. All words that the worker writes lie in the outbox mapping, which the
// parent maps read-only. Cursors are free-running byte counts. Their owner keeps them in private
// memory, and the words here are published copies. Serials number the elements sent to one worker:
// 0, 1, 2, and so on. They are never reused.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <procpool/detail/engine/run.hpp>

namespace procpool::inline v0_1::channel {

using detail::pack_done;

// Raised with every change of what lies in shared memory or in the handshake.
inline constexpr std::uint32_t protocol_version = 15;

// Two cache lines: the adjacent-line prefetcher pulls lines in pairs.
inline constexpr std::size_t line = 128;

inline constexpr std::size_t control_bytes = 4096;
// In the outbox's control page: the words of the crash handler, crash_words.hpp.
inline constexpr std::size_t crash_offset = 2048;
inline constexpr std::size_t frame_alignment = 16;

// The bytes of the packet that brings the file of a payload. Those of a resource are its id.
inline constexpr std::array<std::byte, 5> packet_of_payload{
    std::byte{'l'}, std::byte{'a'}, std::byte{'r'}, std::byte{'g'}, std::byte{'e'}};

// In the inbox: written by the parent, read by the worker.
struct InboxWords {
  alignas(line) std::atomic<std::uint64_t> tail;  // bytes put into the inbox
  // Serials at or above it must not begin. It changes with the tail, so it shares the tail's line.
  std::atomic<std::uint64_t> limit;
  alignas(line) std::atomic<std::uint64_t> outbox_head;  // bytes taken out of the outbox
  // Not 0: the parent sleeps, and its event ends the sleep. Each sleep has its own number, see
  // short_poll.
  alignas(line) std::atomic<std::uint32_t> parked;
  alignas(line) std::atomic<std::uint32_t> doorbell;  // the worker sleeps on this word
  std::atomic<std::uint32_t> stop;                    // leave when the inbox is empty
  std::atomic<std::uint32_t> spin;           // microseconds to look for more before sleeping
  std::atomic<std::uint32_t> stop_doorbell;  // a thread that waits for `asked` sleeps on this word
  std::atomic<std::uint64_t> asked;          // serial + 1 of an element that is asked to stop
  alignas(line) std::atomic<std::uint64_t> log_head;  // bytes taken out of the log
};

// In the outbox: written by the worker, read by the parent, which believes nothing of it unchecked.
struct OutboxWords {
  alignas(line) std::atomic<std::uint64_t> claim;       // serial + 1 of the element wanted or begun
  alignas(line) std::atomic<std::uint64_t> done;        // see detail::pack_done
  alignas(line) std::atomic<std::uint64_t> tail;        // bytes put into the outbox
  alignas(line) std::atomic<std::uint64_t> inbox_head;  // bytes taken out of the inbox
  // Not 0: the worker sleeps on the doorbell. Each sleep has its own number, see for_room.
  alignas(line) std::atomic<std::uint32_t> parked;
  alignas(line) std::atomic<std::uint32_t> stage;  // detail::Stage of the claimed element
  std::atomic<std::uint32_t> exit_hint;            // ExitHint
  std::atomic<std::uint64_t> listens;  // serial + 1 of an element that looks for requests to stop
  // serial + 1 of the element that the next two words are of; 0: of none, or they are being replaced.
  std::atomic<std::uint64_t> progress_of;
  std::atomic<std::uint64_t> progress_done;           // as the element says
  std::atomic<std::uint64_t> progress_total;          // likewise; 0: not known
  alignas(line) std::atomic<std::uint64_t> log_tail;  // bytes put into the log
};

static_assert(sizeof(InboxWords) <= control_bytes && sizeof(OutboxWords) <= control_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

// The log lies behind the control page of the outbox: a ring of records, each a LogHeader with its text.
inline constexpr std::size_t log_bytes = 16 * 1024;
inline constexpr std::size_t max_log_text = 4096;
inline constexpr std::size_t outbox_control_bytes = control_bytes + log_bytes;

struct LogHeader {
  std::uint64_t claim;  // serial + 1 of the element
  std::uint64_t lost;   // lines before this one that found no room
  std::uint32_t size;   // bytes of the text
  std::uint32_t level;  // LogLevel
};

constexpr std::uint64_t log_footprint(std::uint64_t text) noexcept {
  return (sizeof(LogHeader) + text + 7) & ~std::uint64_t{7};
}

// The worker's own reason for its end. After its death an error text alone depends on it.
enum class ExitHint : std::uint32_t {
  none = 0,
  thread_ended = 1,      // the task left the worker's loop by ending its thread
  descriptors_gone = 2,  // the task closed descriptors that the worker needs
  retiring = 3,          // stored while it lives: it begins nothing more, and waits to be released
  left = 4,              // likewise: it was asked to leave, has left its loop, and is exiting
  exiting = 5,           // exit() has begun without a request to leave
  helpless = 6,          // memory or something else of the system was missing
};

enum class InboxKind : std::uint32_t {
  register_function = 1,
  chunk = 2,
  resource = 3,  // a detail::Resource, ahead of the elements that name it
  forget = 4,    // the payload: ids of resources that nothing names any more
  internal_chunk =
      5,  // a chunk of the pool's own: an initializer or an exit handler. A retiring worker runs it
  memory = 6,  // see MemoryNotice; the payload: ids
};

// The place of a frame's payload.
enum class Where : std::uint32_t {
  ring = 0,   // behind the header
  file = 1,   // in the next descriptor on the control socket, which serves once
  block = 2,  // in message memory: a BlockRef lies behind the header
};

// A message in message memory. The memory is used again and again; each side keeps its view of it.
struct BlockRef {
  std::uint64_t id;  // chosen by the owner; the other side only returns it
  std::uint32_t offset;
  // 1: its descriptor is the next one on the control socket. Always 1 from a worker; from the parent
  // only the first time.
  std::uint32_t announced;
};

// The header of a memory frame. Its ids are first `gone` blocks of the parent that never come again,
// and then blocks of the worker that the worker may write to again.
struct MemoryNotice {
  std::uint64_t gone = 0;
  bool let_go = false;  // the worker keeps none of its own blocks
};

struct alignas(frame_alignment) InboxHeader {
  InboxKind kind;
  Where where;
  std::uint64_t size;      // bytes of the payload
  std::uint32_t function;  // slot in the worker's function table; resource: its kind
  std::uint32_t apart;     // chunk: not 0: no two of its elements are claimed at once; resource:
                           // descriptors, which are in the next packet on the control socket
  std::uint64_t serial;    // chunk: of its first element; memory: 1 if let_go
  std::uint64_t count;     // chunk: elements; resource: parts; memory: ids that are gone
  std::uint64_t task;      // chunk: the id of the task; resource: its id
  std::uint64_t element;   // chunk: index in the task of the first element
  std::uint64_t random;    // chunk: the seed of the random streams of its task
};

enum class OutboxKind : std::uint32_t {
  values = 1,
  thrown = 2,
  resource = 3,  // a ResourceRecord, ahead of the outcome of the one element that names it
};

// A resource that an outcome names.
struct ResourceRecord {
  std::uint64_t id;
  std::uint32_t kind;  // detail::Resource::Kind
  // They are in the next packet on the control socket. 0: the parent gave it to this worker.
  std::uint32_t descriptors;
};

// The most resources that one outcome names.
inline constexpr std::size_t max_named = 256;

struct alignas(frame_alignment) OutboxHeader {
  OutboxKind kind;
  Where where;
  std::uint64_t size;
  std::uint64_t serial;
  std::uint64_t count;
  std::uint64_t nanoseconds;  // since the worker's last frame, or since it took the chunk; a hint
  std::uint64_t state;  // bytes at the end of the payload that are the state of an actor; 0: none
};

static_assert(std::is_trivially_copyable_v<InboxHeader> && sizeof(InboxHeader) == 64);
static_assert(std::is_trivially_copyable_v<OutboxHeader> && sizeof(OutboxHeader) == 48);
static_assert(std::is_trivially_copyable_v<ResourceRecord> &&
              sizeof(ResourceRecord) == frame_alignment);
static_assert(std::is_trivially_copyable_v<BlockRef> && sizeof(BlockRef) == frame_alignment);

// The bytes of a payload that lie in the ring.
constexpr std::uint64_t in_ring(Where where, std::uint64_t size) noexcept {
  if (where == Where::ring) return size;
  return where == Where::block ? sizeof(BlockRef) : 0;
}

// Elements that take less time than a claim are claimed several at once, up to this number. Each is
// marked as done by itself, in order, so only one can have begun and not ended.
inline constexpr std::uint64_t max_claimed = 64;

// A sleep of the parent that ends by itself after some ten microseconds. The worker ends it early only
// if the worker could not go on.
inline constexpr std::uint32_t short_poll = std::uint32_t{1} << 31;

// The bit of a worker's sleep that waits for room in the outbox.
inline constexpr std::uint32_t for_room = 1;

constexpr std::uint64_t aligned(std::uint64_t bytes) noexcept {
  return (bytes + frame_alignment - 1) & ~std::uint64_t{frame_alignment - 1};
}

// A payload above this fraction of the ring does not travel in it.
constexpr std::uint64_t inline_limit(std::uint64_t ring_bytes) noexcept { return ring_bytes / 4; }

}  // namespace procpool::inline v0_1::channel
