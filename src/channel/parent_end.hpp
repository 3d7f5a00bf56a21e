// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ParentEnd: the parent's end of the channel of one worker. It puts frames into the inbox, takes
// frames out of the outbox, lowers the limit, and reads the words of a dead worker.
//
// Not synchronised: the owner holds its mutex around every call. No call blocks. An end serves one
// worker and no other.
//
// Threat model: the worker may write anything into the outbox at any time, also during a read. Each
// word of the outbox is loaded once into a local, and the local is checked. The parent keeps its
// cursors in private memory. A header is copied before it is checked. A payload is handed out as a
// span; the caller copies it once and interprets the copy. An impossible value throws BadFrame, and
// the owner then ends the worker.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>

#include <procpool/detail/engine/sync_points.hpp>

#include "channel/layout.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::channel {

// The worker wrote a value that cannot be true.
class BadFrame : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline namespace PROCPOOL_SYNC_BUILD {

class ParentEnd {
 public:
  // Makes the memory of both rings: reserved, and sealed against resizing. The inbox is also sealed
  // against any further writable mapping. Throws std::system_error if there is no memory.
  explicit ParentEnd(std::size_t ring_bytes);

  // For the handshake. `forget_memory` closes both descriptors once the worker has them.
  os::Memfd const& inbox() const noexcept { return inbox_memory_; }
  os::Memfd const& outbox() const noexcept { return outbox_memory_; }
  void forget_memory() noexcept;

  std::size_t ring_bytes() const noexcept { return inbox_.ring_bytes(); }

  // ---- putting. The worker sees nothing of it before publish().
  static std::uint64_t footprint(std::uint64_t inline_payload) noexcept {
    return aligned(sizeof(InboxHeader) + inline_payload);
  }
  // True if the inbox has room for a frame with `inline_payload` bytes in the ring.
  bool fits(std::uint64_t inline_payload);
  // A payload: the bytes to copy into the ring, or the place where they lie.
  struct PayloadRef {
    std::span<std::byte const> bytes;
    Where where = Where::ring;  // file: the caller has just sent its descriptor
    BlockRef block{};

    std::span<std::byte const> inside() const noexcept {
      if (where == Where::block) return std::as_bytes(std::span(&block, 1));
      return where == Where::ring ? bytes : std::span<std::byte const>();
    }
  };
  void put_registration(std::uint64_t function, PayloadRef const& payload_ref);
  struct Chunk {
    std::uint64_t function;
    std::uint64_t task;
    std::uint64_t element;  // index in the task of the first one
    std::uint64_t count;
    std::uint64_t random = 0;
    bool internal = false;
    bool apart = false;  // the worker claims each element by itself
  };
  // Returns the serial of the first element.
  std::uint64_t put_chunk(Chunk const& chunk, PayloadRef const& payload_ref);
  struct Resource {
    std::uint64_t id;
    std::uint32_t kind;
    std::size_t parts;
    std::size_t descriptors;  // the caller has just sent them in one packet
  };
  void put_resource(Resource const& resource, PayloadRef const& payload_ref);
  void put_memory(MemoryNotice const& notice, std::span<std::uint64_t const> ids);
  void put_evict(std::span<std::uint64_t const> ids);
  void publish();
  std::uint64_t tail() const noexcept { return tail_; }  // bytes put so far

  // ---- revoking

  // Revokes the elements from serial `from` on. Returns the first serial at or above `from` that has
  // not begun and never will. The serials between `from` and the result are undecided until the
  // worker has acknowledged: they are one element, or the rest of a batched claim. Until the
  // acknowledgement nothing may be put, but more may be revoked. The serials are never used again.
  std::uint64_t revoke(std::uint64_t from);
  // True if the worker may begin the element, as far as the parent has told it.
  bool may_begin(std::uint64_t serial) const noexcept { return serial < limit_; }
  bool acknowledging() const noexcept { return ack_cursor_.has_value(); }
  // True once, when the worker has passed the revocation. Look for frames after this call, not
  // before: each element that began has its outcome in the outbox by then, and no other ever begins.
  bool acknowledged();

  // ---- watching

  struct Running {
    std::uint64_t serial;
    bool sure;  // false: the worker may be about to withdraw its claim
  };
  // The element that has begun and not ended. `owed` is the first serial whose outcome has not been
  // collected. In a batched claim the result may already be the next element.
  std::optional<Running> running(std::uint64_t owed) const noexcept;
  // True if the element says that it looks for requests to stop. A lie gains a worker some time.
  bool listens(std::uint64_t serial) const noexcept;
  void ask_to_stop(std::uint64_t serial) noexcept;
  // ---- the log
  struct LogLine {
    std::uint64_t claim;  // serial + 1 of the element, as the worker says
    std::uint64_t lost;   // lines before it
    std::uint32_t level;
    std::string text;
  };
  bool has_log() const noexcept {
    return out().log_tail.load(std::memory_order_relaxed) != log_head_;
  }
  // The next line. Throws BadFrame if there cannot be such a one, and std::bad_alloc, having changed
  // nothing.
  std::optional<LogLine> next_log();

  // What an element says of how far it has come. Anything may be said.
  struct Progress {
    std::uint64_t serial;
    std::uint64_t done;
    std::uint64_t total;  // 0: not known
  };
  std::optional<Progress> told_progress() const noexcept;
  // The worker says that it begins nothing more, and waits to be released.
  bool retiring() const noexcept;
  // The worker says that it has left. All its outcomes are in the outbox by then.
  bool left() const noexcept;
  ExitHint exit_hint() const noexcept;
  // Changes with each claim, each done mark, and each move of one of the worker's cursors.
  std::uint64_t progress() const noexcept;
  // Wakes the worker, which then looks at everything. Harmless at any time; costs a system call.
  void nudge() noexcept { ring_doorbell(); }

  // ---- collecting. The payload lies in the ring and stays there until taken().
  struct Arrival {
    OutboxHeader header;
    std::span<std::byte const> payload;  // empty if it is in a file; else the bytes, or a BlockRef
  };
  std::optional<Arrival> next();
  void taken();  // gives the space of all arrivals so far back to the worker

  // ---- sleeping. `number` is not 0 and differs from that of the previous sleep.
  void park(std::uint32_t number) noexcept;
  void unpark() noexcept;
  // Parks for a short poll. True: there is input, and the worker sleeps, so it may not notify.
  bool begin_short_poll(std::uint32_t number) noexcept;
  bool news() const noexcept;  // there may be something to collect, or to acknowledge

  bool sleeps() const noexcept;  // the worker sleeps or is just waking up: a hint
  // For how long the worker looks for more before it sleeps. It sees this with the next publish().
  void let_spin(std::chrono::microseconds time) noexcept;

  void ask_to_leave();  // when the inbox is empty

  // ---- after the worker's death, when next() has nothing more

  struct Remains {
    std::uint64_t done = 0;              // elements of the open frame, from `expected` on
    std::span<std::byte const> payload;  // their results
    bool begun = false;                  // the element after them had begun
    std::uint64_t claim = 0;  // serials below it may have begun; never above what was put
    std::uint32_t stage = 0;
    ExitHint exit_hint = ExitHint::none;
    bool believable = true;  // false: the words could not be true; the rest is the least they prove
  };
  // `expected` is the serial of the next outcome, `outstanding` the number of elements left in its
  // chunk.
  Remains remains(std::uint64_t expected, std::uint64_t outstanding) const;
  // The words of the crash handler, see crash_words.hpp.
  std::span<std::byte const> crash_area() const noexcept {
    return {outbox_.control() + crash_offset, control_bytes - crash_offset};
  }

 private:
  InboxWords& in() const noexcept { return *reinterpret_cast<InboxWords*>(inbox_.control()); }
  OutboxWords const& out() const noexcept {
    return *reinterpret_cast<OutboxWords const*>(outbox_.control());
  }
  std::byte* place(std::uint64_t cursor) const noexcept {
    return inbox_.ring() + (cursor & (inbox_.ring_bytes() - 1));
  }
  std::byte const* at(std::uint64_t cursor) const noexcept {
    return outbox_.ring() + (cursor & (outbox_.ring_bytes() - 1));
  }
  void put(InboxHeader header, PayloadRef const& payload_ref);
  std::uint64_t inbox_head();
  std::uint64_t free_bytes() const noexcept { return ring_bytes() - (tail_ - seen_head_); }
  void wake() noexcept;  // if the worker sleeps; call it after a seq_cst store
  void wake_from(std::uint32_t sleep) noexcept;
  void ring_doorbell() noexcept;
  // The number of elements from `owed` on that the mark counts as done. Negative: it ends before.
  std::int32_t done_from(std::uint64_t owed, std::uint64_t mark) const noexcept;

  os::Memfd inbox_memory_;
  os::Memfd outbox_memory_;
  os::RingMapping inbox_;
  os::RingMapping outbox_;

  std::uint64_t tail_ = 0;            // inbox: end of the last frame put
  std::uint64_t seen_head_ = 0;       // inbox: the worker's head as loaded last
  std::uint64_t head_ = 0;            // outbox: end of the last frame taken
  std::uint64_t log_head_ = 0;        // end of the last line taken
  std::uint64_t next_serial_ = 0;     // of the next element put
  std::uint64_t limit_ = 0;           // as stored last
  std::uint32_t notified_epoch_ = 0;  // the worker's sleep that was ended last
  std::uint32_t spin_ = 0;            // as stored last
  std::uint64_t chunks_end_ = 0;      // inbox: end of the last chunk put
  // chunks_end_ at the time of a revocation that is not acknowledged yet.
  std::optional<std::uint64_t> ack_cursor_;
  // Revoked serials: the one behind the last of them, and the done mark at the acknowledgement.
  struct Gap {
    std::uint64_t end = 0;
    std::uint64_t mark = 0;
  } gap_;
};

}  // namespace PROCPOOL_SYNC_BUILD
}  // namespace procpool::inline v0_1::channel
