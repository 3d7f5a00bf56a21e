#pragma once

// The parent's end of one worker's channel: puts records into the inbox, takes records out of the
// outbox, lowers the limit, and reads what a death left.
//
// Not synchronised: the owner (the worker's slot) holds its private mutex around every call. Nothing
// here blocks. Nothing here is ever reused for another worker.
//
// Threat model: the worker may write anything into the outbox at any time, also while it is read.
// So every word of it is loaded once into a local and the local is checked; cursors of the parent are
// kept here, in private memory; a header is copied before it is looked at; a payload is handed out as
// a span that the caller copies once and interprets only in its own copy. What cannot be true throws
// BadFrame, upon which the owner ends the worker.

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

namespace procpool::inline v0::channel {

class BadFrame : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// `Steps` is told of each step, see detail::Step.
template <class SyncPoints>
class BasicParentEnd {
 public:
  // Makes the memory of both rings: reserved, sealed against resizing, the inbox also against any
  // further writable mapping. Throws std::system_error when there is no memory.
  explicit BasicParentEnd(std::size_t ring_bytes);

  // For the handshake; `forget_memory` closes both descriptors once the worker has them.
  os::Memfd const& inbox() const noexcept { return inbox_memory_; }
  os::Memfd const& outbox() const noexcept { return outbox_memory_; }
  void forget_memory() noexcept;

  std::size_t ring_bytes() const noexcept { return inbox_.ring_bytes(); }

  // ---- putting. Nothing is visible to the worker before publish().
  static std::uint64_t footprint(std::uint64_t inline_payload) noexcept {
    return aligned(sizeof(InboxHeader) + inline_payload);
  }
  // Is there room in the inbox for a record with so much payload inside?
  bool fits(std::uint64_t inline_payload);
  // A payload: bytes to be copied into the ring, or where they lie.
  struct PayloadRef {
    std::span<std::byte const> bytes;
    Where where = Where::ring;  // file: its descriptor has just been sent
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
    bool hook = false;
    bool apart = false;  // each element is to be claimed by itself
  };
  // Returns the serial of its first element.
  std::uint64_t put_chunk(Chunk const& chunk, PayloadRef const& payload_ref);
  void put_share(std::uint64_t id, std::size_t parts, PayloadRef const& payload_ref);
  void put_memory(MemoryNotice const& news, std::span<std::uint64_t const> ids);
  void put_evict(std::span<std::uint64_t const> ids);
  void publish();
  // The worker has taken all that was put.
  bool emptied() { return inbox_head() == tail_; }

  // ---- taking back. `from` is the first serial wanted back. Returns the first serial at or above
  // `from` that has not begun and never will; those before it that are not below `from` are undecided
  // until the worker has acknowledged: one, or what is left of a block that was claimed at once. Until
  // then nothing may be put, but more may be taken back. The serials stay skipped: what is put next begins
  // behind them.
  std::uint64_t revoke(std::uint64_t from);
  // May the worker begin it, as far as it was told?
  bool may_begin(std::uint64_t serial) const noexcept { return serial < limit_; }
  bool acknowledging() const noexcept { return ack_cursor_.has_value(); }
  // True once, when the worker has passed the cut. Look for records after it, not before: all that it
  // had begun is in the outbox by then, and what is not there never began.
  bool acknowledged();

  // ---- watching. The serial of the element that has begun and not ended, if there is one; `owed` is the
  // first whose outcome has not been collected. Of a block claimed at once it may be the one behind it already.
  struct Running {
    std::uint64_t serial;
    bool sure;  // false: it may be about to be withdrawn
  };
  std::optional<Running> running(std::uint64_t owed) const noexcept;
  // Does the element look whether it is asked to stop? A lie gains it some time.
  bool listens(std::uint64_t serial) const noexcept;
  void ask_to_stop(std::uint64_t serial) noexcept;
  // The worker begins nothing more, and waits to be let go. News, once its last results are.
  bool retiring() const noexcept;
  // Has it left, as far as it says? What it had to say is in the outbox by then.
  bool left() const noexcept;
  // What it has said of its leaving.
  ExitHint exit_hint() const noexcept;
  // Changes whenever the worker says that it has got on: claimed, done, shown, or taken something.
  std::uint64_t progress() const noexcept;
  // Wakes the worker, which looks at everything. At any time, for nothing but the cost of it.
  void nudge() noexcept { ring_doorbell(); }

  // ---- collecting. The payload lies in the ring and stays there until taken().
  struct Arrival {
    OutboxHeader header;
    std::span<std::byte const> payload;  // empty if it is in a file; a BlockRef
  };
  std::optional<Arrival> next();
  void taken();  // gives the space of all arrivals so far back to the worker

  // ---- sleeping. `number` is not 0 and differs from the last one.
  void park(std::uint32_t number) noexcept;
  void unpark() noexcept;
  // Parks for a nap, `number` as above. True: there is news, and the worker is asleep; it may not ring.
  bool begin_short_poll(std::uint32_t number) noexcept;
  // Something may be there to collect; with `emptied`, also that is news.
  bool news(bool emptied = false) const noexcept;

  // For how long the worker looks for more before it sleeps. Seen with what is published next.
  bool sleeps() const noexcept;  // the worker does, or is just waking up: a hint
  void let_spin(std::chrono::microseconds time) noexcept;

  void ask_to_leave();  // when the inbox is empty

  // ---- after the worker's death, when next() has nothing more. `expected` is the serial of the
  // element whose outcome would come next, `outstanding` how many of its chunk are left.
  struct Remains {
    std::uint64_t done = 0;              // elements of the open record, from `expected` on
    std::span<std::byte const> payload;  // their results
    bool begun = false;                  // the element after them had begun
    std::uint64_t claim = 0;  // every serial below it may have begun; never above what was given
    std::uint32_t stage = 0;
    ExitHint exit_hint = ExitHint::none;
    bool believable = true;  // false: the marks could not be true, and were taken for the least
  };
  Remains remains(std::uint64_t expected, std::uint64_t outstanding) const;
  // What a crash has left, see crash_words.hpp.
  std::span<std::byte const> crash_area() const noexcept {
    return {outbox_.control() + crash_offset, control_bytes - crash_offset};
  }

 private:
  using SyncPoint = detail::SyncPoint;

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
  void wake() noexcept;  // if it sleeps; after a seq_cst store of what it should see
  void wake_from(std::uint32_t sleep) noexcept;
  void ring_doorbell() noexcept;
  // How many elements from `owed` on the mark counts as done. Negative: it ends before.
  std::int32_t done_from(std::uint64_t owed, std::uint64_t mark) const noexcept;

  os::Memfd inbox_memory_;
  os::Memfd outbox_memory_;
  os::RingMapping inbox_;
  os::RingMapping outbox_;

  std::uint64_t tail_ = 0;            // inbox: end of what was put
  std::uint64_t seen_head_ = 0;       // inbox: the worker's head when last looked at
  std::uint64_t head_ = 0;            // outbox: end of what was taken
  std::uint64_t next_serial_ = 0;     // of the next element put
  std::uint64_t limit_ = 0;           // as it was stored last
  std::uint32_t notified_epoch_ = 0;  // the worker's sleep that was last ended
  std::uint32_t spin_ = 0;            // as it was stored last
  std::optional<std::uint64_t>
      ack_cursor_;  // inbox tail at the time of a take-back not acknowledged yet
  // Serials that were skipped: the one behind the last of them, and what was marked as done by then.
  struct Gap {
    std::uint64_t end = 0;
    std::uint64_t mark = 0;
  } gap_;
};

using ParentEnd = BasicParentEnd<detail::NoSyncPoints>;
extern template class BasicParentEnd<detail::NoSyncPoints>;

}  // namespace procpool::inline v0::channel
