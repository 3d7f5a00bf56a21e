#pragma once

// The words and records of a channel: what the two processes of a worker's two rings agree on.
//
// Every word has one writing process. All words that the parent writes lie in the inbox mapping, which
// the worker maps read-only; all that the worker writes lie in the outbox mapping, which the parent
// maps read-only. Cursors are free-running byte counts that are kept privately by their owner; what
// lies here are published copies. Serials number the elements given to one worker: 0, 1, 2, ...,
// never reused.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <procpool/detail/engine/run.hpp>

namespace procpool::inline v0::channel {

using detail::pack_done;

// Raised with every change of what lies in shared memory or in the handshake.
inline constexpr std::uint32_t protocol_version = 12;

// Two cache lines: the adjacent-line prefetcher pulls lines in pairs.
inline constexpr std::size_t line = 128;

inline constexpr std::size_t control_bytes = 4096;
inline constexpr std::size_t crash_offset =
    2048;  // in the outbox's: what a crash leaves, crash_words.hpp
inline constexpr std::size_t frame_alignment = 16;

// In the inbox: written by the parent, read by the worker.
struct InboxWords {
  alignas(line) std::atomic<std::uint64_t> tail;  // bytes put into the inbox
  // Serials at or above it must not begin. Beside the tail, with which it comes: one line to fetch, not two.
  std::atomic<std::uint64_t> limit;
  alignas(line) std::atomic<std::uint64_t> outbox_head;  // bytes taken out of the outbox
  alignas(line) std::atomic<std::uint32_t> parked;    // not 0: the parent sleeps, ring its event;
                                                      // each sleep has its own number, see nap
  alignas(line) std::atomic<std::uint32_t> doorbell;  // the worker sleeps on this word
  std::atomic<std::uint32_t> stop;                    // leave when the inbox is empty
  std::atomic<std::uint32_t> spin;           // microseconds to look for more before sleeping
  std::atomic<std::uint32_t> stop_doorbell;  // who waits for `asked` sleeps on this one
  std::atomic<std::uint64_t> asked;          // serial + 1 of an element that is asked to stop
};

// In the outbox: written by the worker, read by the parent, who believes nothing of it unchecked.
struct OutboxWords {
  alignas(line) std::atomic<std::uint64_t> claim;       // serial + 1 of the element wanted or begun
  alignas(line) std::atomic<std::uint64_t> done;        // see detail::pack_done
  alignas(line) std::atomic<std::uint64_t> tail;        // bytes put into the outbox
  alignas(line) std::atomic<std::uint64_t> inbox_head;  // bytes taken out of the inbox
  // Not 0: the worker sleeps on the bell; each sleep has its own number, see for_room.
  alignas(line) std::atomic<std::uint32_t> parked;
  alignas(line) std::atomic<std::uint32_t> stage;  // detail::Stage of the claimed element
  std::atomic<std::uint32_t> exit_hint;            // Farewell
  std::atomic<std::uint64_t>
      listens;  // serial + 1 of an element that looks whether it is asked to stop
};

static_assert(sizeof(InboxWords) <= control_bytes && sizeof(OutboxWords) <= control_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

// Why a worker left, or wants to leave, of its own accord. After its death used in a sentence only.
enum class ExitHint : std::uint32_t {
  none = 0,
  thread_ended = 1,      // the task left the worker's loop by ending its thread
  descriptors_gone = 2,  // the task closed descriptors that the worker needs
  retiring = 3,          // said while it lives: it begins nothing more, and is to be let go
  left = 4,              // likewise: it was asked to leave, has left its loop, and is exiting
  exiting = 5,           // exit() has begun, and nobody has asked it to leave
  helpless = 6,          // it lacked memory, or something else of the system, and could not go on
};

enum class InboxKind : std::uint32_t {
  register_function = 1,
  chunk = 2,
  share = 3,   // a shared value, ahead of what names it
  forget = 4,  // the payload: ids of shared values that nothing will name any more
  hook = 5,    // a chunk of the pool's own; also one that retires runs it
  memory = 6,  // what becomes of message memory, see MemoryNotice; the payload: ids
};

// Where the payload of a record lies.
enum class Where : std::uint32_t {
  ring = 0,   // behind its header
  file = 1,   // in the next descriptor on the control socket, which serves once
  block = 2,  // in message memory: a BlockRef lies behind the header
};

// A message in message memory. Such memory is used again and again; each side keeps its view of it.
struct BlockRef {
  std::uint64_t id;  // of its owner's; the other side only hands it back
  std::uint32_t offset;
  std::uint32_t
      announced;  // 1: its descriptor is the next one on the control socket. From a worker
                  // always 1; from the parent only the first time
};

// What a memory record says beside its ids: first come those of the parent's memory that will not come
// again, so many; behind them those of the worker's that it may write to again.
struct MemoryNotice {
  std::uint64_t gone = 0;
  bool let_go = false;  // the worker shall keep none of its own
};

struct alignas(frame_alignment) InboxHeader {
  InboxKind kind;
  Where where;
  std::uint64_t size;      // bytes of the payload
  std::uint32_t function;  // slot in the worker's function table
  std::uint32_t apart;     // chunk: not 0: no two of its elements are claimed at once
  std::uint64_t serial;    // chunk: of its first element; memory: 1: let go
  std::uint64_t count;     // chunk: elements; share: parts; memory: ids that are gone
  std::uint64_t task;      // chunk: the task's id, and the index in it of the first element;
                           // share: the value's id
  std::uint64_t element;
  std::uint64_t random;  // chunk: what the random streams of its task derive from
};

enum class OutboxKind : std::uint32_t { values = 1, thrown = 2 };

struct alignas(frame_alignment) OutboxHeader {
  OutboxKind kind;
  Where where;
  std::uint64_t size;
  std::uint64_t serial;
  std::uint64_t count;
  std::uint64_t nanoseconds;  // since the worker's last record or the chunk's begin; a hint
};

static_assert(std::is_trivially_copyable_v<InboxHeader> && sizeof(InboxHeader) == 64);
static_assert(std::is_trivially_copyable_v<OutboxHeader> && sizeof(OutboxHeader) == 48);
static_assert(std::is_trivially_copyable_v<BlockRef> && sizeof(BlockRef) == frame_alignment);

// Of its payload, what lies in the ring.
constexpr std::uint64_t in_ring(Where where, std::uint64_t size) noexcept {
  if (where == Where::ring) return size;
  return where == Where::block ? sizeof(BlockRef) : 0;
}

// Elements that take less time than a claim of their own would are claimed in blocks of so many at most;
// each of them is marked as done by itself, in their order, so still only one can have begun and not ended.
inline constexpr std::uint64_t max_claimed = 64;

// A sleep of the parent that ends by itself, after some ten microseconds: it is to be ended only for what
// could not go on meanwhile.
inline constexpr std::uint32_t short_poll = std::uint32_t{1} << 31;

// A worker's sleep whose number is odd is one for room in the outbox.
inline constexpr std::uint32_t for_room = 1;

constexpr std::uint64_t aligned(std::uint64_t bytes) noexcept {
  return (bytes + frame_alignment - 1) & ~std::uint64_t{frame_alignment - 1};
}

// A payload above this fraction of the ring does not travel in it.
constexpr std::uint64_t inline_limit(std::uint64_t ring_bytes) noexcept { return ring_bytes / 4; }

}  // namespace procpool::inline v0::channel
