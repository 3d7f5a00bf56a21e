#pragma once

// The worker's end of its channel: waits for records, claims elements, appends their outcomes to the
// open outbox record and publishes it.
//
// Used by the worker's loop alone, on one thread. The worker trusts what the parent wrote. It may be
// killed between any two instructions: nothing it holds is a lock, and what each death leaves is told
// in docs/architecture.md, "What each death leaves".

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/engine/sync_points.hpp>

#include "channel/layout.hpp"
#include "channel/result_memory.hpp"
#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0::channel {

// `Steps` is told of each step, see detail::Step.
template <class SyncPoints>
class BasicWorkerEnd {
 public:
  // Throws when there is no memory or address space for the rings; `control` is then still the caller's.
  BasicWorkerEnd(os::Memfd const& inbox, os::Memfd const& outbox, std::size_t ring_bytes,
                 os::Event event, os::UniqueFd&& control);

  // Blocks until there is a record, which stays in the ring until finish_frame(). False: the parent
  // wants us to leave and the inbox is empty.
  bool wait();
  // Is there one already? Cheap.
  bool has_frame() const noexcept {
    // Relaxed: looked at properly by wait().
    return in().tail.load(std::memory_order_relaxed) != head_;
  }
  InboxHeader const& header() const noexcept { return header_; }
  std::span<std::byte const> payload() const noexcept { return payload_; }
  // Not empty: the payload, which is empty, could not be received or mapped; the reason.
  std::string const& unreadable() const noexcept { return unreadable_; }
  // What keeps the payload of a record in a file, to have it beyond finish_frame().
  os::Mapping take_large() noexcept { return std::exchange(large_, os::Mapping()); }
  // Publishes what is open, then gives the record's space back, then calls the parent.
  void finish_frame(bool revoked);

  // Claims an element. False: it was taken back, and so was the rest of the record. One that retires
  // blocks until that is so, except for hooks.
  bool begin(std::uint64_t serial);

  // Tells the parent, with the outcome that comes next, that this worker begins nothing more.
  void retire() noexcept;

  // ---- for the task that runs; any thread
  bool asked_to_stop(std::uint64_t serial) const noexcept;
  void listen(std::uint64_t serial) noexcept;
  // Blocks until an element is asked to stop that was not `seen`; gives its serial + 1.
  std::uint64_t wait_until_asked(std::uint64_t seen) const;

  // The outcome of the element claimed last. Blocks while the outbox is full. Values of varying size
  // are preceded by their length.
  void append_value(std::uint64_t serial, std::span<std::byte const> value, bool length_first);
  void append_thrown(std::uint64_t serial, std::span<std::byte const> exception);

  // ---- instead of begin and append_value, for elements that a trampoline runs by itself.
  // Can results of this size be written where they travel from?
  bool fits_run(std::size_t result_size) const noexcept;
  // A run of elements of the record from `serial` on, as many as there is room for: the caller says what
  // is not the channel's. Blocks while the outbox is full.
  void begin_run(std::uint64_t serial, std::size_t result_size, detail::RunWords& words,
                 detail::RunPlace& place);
  // It is over, or one of its elements has thrown: what it has done belongs to the open record. False: the
  // rest of the record was taken back.
  bool end_run(detail::BasicRun<SyncPoints> const& run);
  // Where large results are best encoded to.
  ResultMemory& result_memory() noexcept { return results_; }
  // Of the memory that this process has mapped, so much is kept for messages to come.
  std::size_t kept_bytes() const noexcept;

  std::atomic<std::uint32_t>& stage() noexcept { return out().stage; }
  void say_exit_hint(ExitHint why) noexcept;
  // The last word: nothing comes from this worker any more. Rings.
  void leave() noexcept;
  // What was said before stands, but for retiring.
  void say_exiting() noexcept;

  // A descriptor was lost, so that what lies in its file will never be readable here.
  bool lost() const noexcept { return lost_; }

  // True when the event or the control socket turned out to be gone: the worker cannot call the parent
  // any more and should leave.
  bool descriptors_gone() const noexcept { return descriptors_gone_; }

  // The outbox's control page, for a forked child to cover with memory of its own.
  std::span<std::byte> control_page() noexcept { return {outbox_.control(), control_bytes}; }

 private:
  using SyncPoint = detail::SyncPoint;

  InboxWords const& in() const noexcept {
    return *reinterpret_cast<InboxWords const*>(inbox_.control());
  }
  OutboxWords& out() const noexcept { return *reinterpret_cast<OutboxWords*>(outbox_.control()); }
  std::byte const* at(std::uint64_t cursor) const noexcept {
    return inbox_.ring() + (cursor & (inbox_.ring_bytes() - 1));
  }
  std::byte* place(std::uint64_t cursor) const noexcept {
    return outbox_.ring() + (cursor & (outbox_.ring_bytes() - 1));
  }
  bool load_frame();
  bool cursor_is_awaited() const noexcept;  // that was just moved behind the record
  bool load_payload();                      // false: a task has taken its descriptor
  bool load_block();
  void hear_of_memory();
  bool spin() const noexcept;
  void park(std::uint32_t what_for) noexcept;  // for_room or 0; seq_cst, before the last look
  void unpark() noexcept;
  void fall_asleep(std::uint32_t doorbell) noexcept;
  void wait_until_wanted_back(std::uint64_t serial);
  void wait_for_room(std::uint64_t bytes);
  void wait_until_taken(std::uint64_t cursor);
  void publish();
  void close_frame();  // the open one, which is not empty
  void show_results();
  void withdraw(std::uint64_t serial) noexcept;  // the claim
  // Has a record open with room for the result of this element.
  void have_room(std::uint64_t serial, std::uint64_t bytes);
  void count_done(std::uint64_t serials, std::uint64_t bytes);
  void look_at_clock();
  // Empty: a task has taken it; or there was no number for it, and unreadable_ says so.
  os::UniqueFd receive_descriptor();
  // A large payload, ready to be sent: in a block, or in a file that is write-sealed.
  struct OutgoingPayload {
    std::shared_ptr<detail::MessageBlock> block;
    BlockRef ref{};
    os::Memfd file;
  };
  // `ahead`: bytes of its length that stand in front of it, all of them or none.
  OutgoingPayload seal_payload(std::span<std::byte const> payload, std::uint64_t ahead);
  void put_single(OutboxKind kind, std::uint64_t serial, std::span<std::byte const> payload,
                  bool length_first);
  void notify_parent() noexcept;        // something was published
  void notify_before_sleep() noexcept;  // what the parent was not rung for because it naps
  void notify_epoch(std::uint32_t sleep) noexcept;

  os::RingMapping inbox_;
  os::RingMapping outbox_;
  os::Event event_;
  os::UniqueFd control_;

  std::uint64_t head_ = 0;        // inbox: end of what was taken
  std::uint64_t seen_taken_ = 0;  // outbox: the parent's head when last looked at
  std::uint64_t tail_ = 0;        // outbox: end of what was published
  InboxHeader header_{};
  std::span<std::byte const> payload_;
  os::Mapping large_;  // the current record's payload, if its view is not kept
  // The parent's message memory. Its views are kept; where addresses are scarce, its descriptors.
  struct Viewed {
    os::Memfd file;
    os::Mapping view;
  };
  std::unordered_map<std::uint64_t, Viewed> blocks_;
  std::string unreadable_;
  ResultMemory results_;

  std::uint64_t open_first_ = 0;  // the open record: first serial, elements, payload bytes
  std::uint64_t open_count_ = 0;
  std::uint64_t open_bytes_ = 0;
  std::uint64_t opened_at_ = 0;      // nanoseconds: begin of the chunk or of the open record
  std::uint64_t look_at_clock_ = 0;  // elements until the next look at the clock
  std::uint64_t elements_per_look_ = 1;
  std::uint64_t block_ = 1;               // elements that are claimed at once
  std::uint64_t run_first_ = 0;           // the run that is going on: its first serial
  std::uint64_t run_result_ = 0;          // and the bytes of each result
  std::deque<std::uint64_t> large_ends_;  // cursors behind large messages that may not be taken yet
  std::uint32_t notified_epoch_ = 0;      // the parent's sleep that was ended last
  bool untold_ = false;                   // something was published since, and the parent not rung
  std::uint32_t sleep_number_ = 0;        // of our last sleep; even
  bool descriptors_gone_ = false;
  bool lost_ = false;
  bool retiring_ = false;
};

using WorkerEnd = BasicWorkerEnd<detail::NoSyncPoints>;
extern template class BasicWorkerEnd<detail::NoSyncPoints>;

}  // namespace procpool::inline v0::channel
