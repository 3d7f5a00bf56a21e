#pragma once

// What the parent's end of a channel does, for every policy of steps: its source includes this to make what
// ships, and the tests that end or stop a side at each step. What may be done with it stands in the
// header of the class.

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "channel/parent_end.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0::channel {

template <class SyncPoints>
BasicParentEnd<SyncPoints>::BasicParentEnd(std::size_t ring_bytes)
    : inbox_memory_(os::Memfd::create("procpool inbox", control_bytes + ring_bytes)),
      outbox_memory_(os::Memfd::create("procpool outbox", control_bytes + ring_bytes)),
      inbox_(inbox_memory_, control_bytes, ring_bytes, os::Access::read_write),
      outbox_(outbox_memory_, control_bytes, ring_bytes, os::Access::read_only) {
  // FUTURE_WRITE after our own mapping: it goes on working, every later one is read-only.
  inbox_memory_.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
  outbox_memory_.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  new (inbox_.control()) InboxWords{};
  // The outbox words begin as the zeros of fresh memory, which is what the worker expects too.
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::forget_memory() noexcept {
  inbox_memory_ = os::Memfd(os::UniqueFd());
  outbox_memory_ = os::Memfd(os::UniqueFd());
}

// ---- putting

template <class SyncPoints>
std::uint64_t BasicParentEnd<SyncPoints>::inbox_head() {
  // Acquire: the worker's reads of the space happen before our next writes into it.
  std::uint64_t const head = out().inbox_head.load(std::memory_order_acquire);
  if (head < seen_head_ || head > tail_) {
    throw BadFrame("the worker's inbox cursor is " + std::to_string(head) +
                   ", which is not between " + std::to_string(seen_head_) + " and " +
                   std::to_string(tail_));
  }
  return seen_head_ = head;
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::fits(std::uint64_t inline_payload) {
  std::uint64_t const need = footprint(inline_payload);
  // The worker's cursor is asked only when what is known of it does not suffice: it writes it with every
  // record, so each look would fetch the line from its core.
  if (free_bytes() >= need) return true;
  inbox_head();
  return free_bytes() >= need;
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::put(InboxHeader header, PayloadRef const& payload_ref) {
  header.where = payload_ref.where;
  header.size = payload_ref.bytes.size();
  std::span<std::byte const> const payload = payload_ref.inside();
  std::byte* const to = place(tail_);
  std::memcpy(to, &header, sizeof header);
  if (!payload.empty()) std::memcpy(to + sizeof header, payload.data(), payload.size());
  tail_ += aligned(sizeof header + payload.size());
  SyncPoints::at(SyncPoint::put);
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::put_registration(std::uint64_t function,
                                                  PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = InboxKind::register_function;
  header.function = static_cast<std::uint32_t>(function);
  put(header, payload_ref);
}

template <class SyncPoints>
std::uint64_t BasicParentEnd<SyncPoints>::put_chunk(Chunk const& chunk,
                                                    PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = chunk.hook ? InboxKind::hook : InboxKind::chunk;
  header.function = static_cast<std::uint32_t>(chunk.function);
  header.apart = chunk.apart ? 1 : 0;
  header.serial = next_serial_;
  header.count = chunk.count;
  header.task = chunk.task;
  header.element = chunk.element;
  header.random = chunk.random;
  put(header, payload_ref);
  next_serial_ += chunk.count;
  return header.serial;
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::put_share(std::uint64_t id, std::size_t parts,
                                           PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = InboxKind::share;
  header.count = parts;
  header.task = id;
  put(header, payload_ref);
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::put_evict(std::span<std::uint64_t const> ids) {
  InboxHeader header{};
  header.kind = InboxKind::forget;
  put(header, {std::as_bytes(ids)});
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::put_memory(MemoryNotice const& news,
                                            std::span<std::uint64_t const> ids) {
  InboxHeader header{};
  header.kind = InboxKind::memory;
  header.serial = news.let_go ? 1 : 0;
  header.count = news.gone;
  put(header, {std::as_bytes(ids)});
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::publish() {
  // Relaxed: the tail's store below carries it; a worker that sees the record sees this limit.
  in().limit.store(limit_ = next_serial_, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::raised);
  // seq_cst: publishes the record (release), and stands before the look at `parked` below, against
  // the worker's "parked, then look at the tail": one of the two sees the other.
  in().tail.store(tail_, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::told);
  wake();
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::wake() noexcept {
  wake_from(out().parked.load(std::memory_order_seq_cst));
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::wake_from(std::uint32_t sleep) noexcept {
  // Once per sleep: until the worker has woken up, which takes it some time, every further ring would be
  // a system call for nothing. It looks again before its next sleep, which has another number.
  if (sleep == 0 || sleep == notified_epoch_) return;
  notified_epoch_ = sleep;
  ring_doorbell();
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::ring_doorbell() noexcept {
  // The word moves first, so that a worker between its look and its sleep does not fall asleep.
  in().doorbell.fetch_add(1, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::doorbell_moved);
  os::futex_wake(in().doorbell, std::numeric_limits<int>::max(), os::FutexScope::shared);
  SyncPoints::at(SyncPoint::doorbell_rung);
}

// ---- taking back

template <class SyncPoints>
std::uint64_t BasicParentEnd<SyncPoints>::revoke(std::uint64_t from) {
  // Never up again ahead of the acknowledgement: who has seen the lower one may be about to withdraw.
  from = std::min(from, limit_);
  // Limit first, then the claim; the worker claims first and then looks at the limit. In the single
  // order of these four, either the worker sees our limit and withdraws, or we see its claim.
  in().limit.store(limit_ = from, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::lowered);
  std::uint64_t const claim = out().claim.load(std::memory_order_seq_cst);
  if (claim > next_serial_) {
    throw BadFrame("the worker claims element " + std::to_string(claim) + " of " +
                   std::to_string(next_serial_) + " that it was given");
  }
  ack_cursor_ = tail_;
  SyncPoints::at(SyncPoint::cut);
  // One that retires sleeps until something is taken back. seq_cst against its "parked, then look at the
  // limit".
  wake();
  return claim > from ? claim : from;
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::acknowledged() {
  // The worker publishes its outcomes before it moves its head; inbox_head() acquires.
  if (!ack_cursor_ || inbox_head() < *ack_cursor_) return false;
  ack_cursor_.reset();
  // Relaxed: inbox_head() has acquired it.
  gap_ = {next_serial_, out().done.load(std::memory_order_relaxed)};
  return true;
}

template <class SyncPoints>
std::int32_t BasicParentEnd<SyncPoints>::done_from(std::uint64_t owed,
                                                   std::uint64_t mark) const noexcept {
  // As it was before serials were skipped, however many these are.
  if (owed == gap_.end && mark == gap_.mark) return 0;
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(mark >> 32) -
                                   static_cast<std::uint32_t>(owed));
}

template <class SyncPoints>
std::optional<typename BasicParentEnd<SyncPoints>::Running> BasicParentEnd<SyncPoints>::running(
    std::uint64_t owed) const noexcept {
  // seq_cst: stands behind a limit stored before, as in revoke().
  std::uint64_t const claim = out().claim.load(std::memory_order_seq_cst);
  if (claim > next_serial_) return std::nullopt;  // a lie is found out when it matters
  // Acquire: not older than the claim.
  std::uint64_t const mark = out().done.load(std::memory_order_acquire);
  // The first that is neither done nor below what is owed: serials that were taken back are never marked.
  std::int32_t const done = done_from(owed, mark);
  std::uint64_t const serial = owed + static_cast<std::uint32_t>(std::max(done, 0));
  if (claim <= serial || claim - serial > max_claimed) return std::nullopt;
  // Below a limit that was never lower since it was claimed, it has begun.
  return Running{serial, serial < limit_};
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::listens(std::uint64_t serial) const noexcept {
  // Relaxed: a hint.
  return out().listens.load(std::memory_order_relaxed) == serial + 1;
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::ask_to_stop(std::uint64_t serial) noexcept {
  if (in().asked.load(std::memory_order_relaxed) == serial + 1) return;
  // The word before the bell: who finds the bell unchanged has seen the word, and may sleep.
  in().asked.store(serial + 1, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::asked);
  in().stop_doorbell.fetch_add(1, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::stop_doorbell_moved);
  os::futex_wake(in().stop_doorbell, std::numeric_limits<int>::max(), os::FutexScope::shared);
  SyncPoints::at(SyncPoint::stop_doorbell_rung);
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::retiring() const noexcept {
  return exit_hint() == ExitHint::retiring;
}

template <class SyncPoints>
ExitHint BasicParentEnd<SyncPoints>::exit_hint() const noexcept {
  // Relaxed: it was said before the last outcomes were published, which an acquire has seen.
  return static_cast<ExitHint>(out().exit_hint.load(std::memory_order_relaxed));
}

template <class SyncPoints>
std::uint64_t BasicParentEnd<SyncPoints>::progress() const noexcept {
  // Relaxed: looked at again and again. None of them falls, but for a claim that is withdrawn, upon which the
  // cursor moves. A lie that changes is somebody who runs.
  return out().claim.load(std::memory_order_relaxed) + out().done.load(std::memory_order_relaxed) +
         out().tail.load(std::memory_order_relaxed) +
         out().inbox_head.load(std::memory_order_relaxed);
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::left() const noexcept {
  // Acquire: what it published before is seen by the next look at the outbox.
  return out().exit_hint.load(std::memory_order_acquire) ==
         static_cast<std::uint32_t>(ExitHint::left);
}

// ---- collecting

template <class SyncPoints>
std::optional<typename BasicParentEnd<SyncPoints>::Arrival> BasicParentEnd<SyncPoints>::next() {
  // Acquire: the record's bytes were written before the tail moved over them.
  std::uint64_t const tail = out().tail.load(std::memory_order_acquire);
  std::uint64_t const there = tail - head_;
  if (there == 0) return std::nullopt;
  if (there > outbox_.ring_bytes() || there % frame_alignment != 0 ||
      there < sizeof(OutboxHeader)) {
    throw BadFrame("the worker's outbox cursor is " + std::to_string(tail) + " after " +
                   std::to_string(head_));
  }
  Arrival arrival{};
  std::memcpy(&arrival.header, at(head_), sizeof arrival.header);
  OutboxHeader const& header = arrival.header;
  if (header.kind != OutboxKind::values && header.kind != OutboxKind::thrown) {
    throw BadFrame("a record of unknown kind " +
                   std::to_string(static_cast<std::uint32_t>(header.kind)));
  }
  if (header.where > Where::block) {
    throw BadFrame("a record whose payload is in no known place: " +
                   std::to_string(static_cast<std::uint32_t>(header.where)));
  }
  std::uint64_t const inside = in_ring(header.where, header.size);
  if (inside > there - sizeof header) {
    throw BadFrame("a record claims " + std::to_string(inside) + " bytes where " +
                   std::to_string(there - sizeof header) + " are");
  }
  arrival.payload = {at(head_) + sizeof header, inside};
  // Cannot pass the tail: both are aligned.
  head_ += aligned(sizeof header + inside);
  return arrival;
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::taken() {
  // seq_cst against the worker's "parked for room, then look at this cursor"; it is a release too:
  // our copies of the records were made before the worker may overwrite them.
  in().outbox_head.store(head_, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::taken);
  std::uint32_t const sleep = out().parked.load(std::memory_order_seq_cst);
  if ((sleep & for_room) != 0) wake_from(sleep);
}

// ---- sleeping

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::park(std::uint32_t number) noexcept {
  // seq_cst: before our last look at the tail, see WorkerEnd::publish.
  in().parked.store(number, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::parent_parked);
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::begin_short_poll(std::uint32_t number) noexcept {
  park(number | short_poll);
  // seq_cst, against the worker's "parked, then look whether the parent naps".
  return out().parked.load(std::memory_order_seq_cst) != 0 && news();
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::unpark() noexcept {
  // Relaxed: a ring too many is harmless.
  in().parked.store(0, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::parent_unparked);
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::news(bool emptied) const noexcept {
  if (out().tail.load(std::memory_order_seq_cst) != head_) return true;
  if (emptied && out().inbox_head.load(std::memory_order_seq_cst) == tail_) return true;
  return ack_cursor_ && out().inbox_head.load(std::memory_order_seq_cst) >= *ack_cursor_;
}

template <class SyncPoints>
bool BasicParentEnd<SyncPoints>::sleeps() const noexcept {
  return out().parked.load(std::memory_order_relaxed) != 0;
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::let_spin(std::chrono::microseconds time) noexcept {
  auto const microseconds = static_cast<std::uint32_t>(time.count());
  if (microseconds == spin_) return;
  // Relaxed: only a matter of speed.
  in().spin.store(spin_ = microseconds, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::spin_set);
}

template <class SyncPoints>
void BasicParentEnd<SyncPoints>::ask_to_leave() {
  // Relaxed: the bell's change below is seq_cst and is what the worker looks at.
  in().stop.store(1, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::leave_said);
  ring_doorbell();
}

// ---- after a death

template <class SyncPoints>
typename BasicParentEnd<SyncPoints>::Remains BasicParentEnd<SyncPoints>::remains(
    std::uint64_t expected, std::uint64_t outstanding) const {
  Remains remains;
  // Relaxed: hints for a sentence, written by a process that is dead.
  remains.stage = out().stage.load(std::memory_order_relaxed);
  remains.exit_hint = static_cast<ExitHint>(out().exit_hint.load(std::memory_order_relaxed));

  // Acquire: the results were written before the mark that counts them. Loaded once: forked children
  // of the worker may still write.
  std::uint64_t const mark = out().done.load(std::memory_order_acquire);
  auto const bytes = static_cast<std::uint32_t>(mark);
  // How far the mark is ahead of what was collected. Behind, or equal: the open record is empty, its elements
  // have been collected, or what came behind them was taken back.
  std::int32_t const ahead = done_from(expected, mark);
  if (ahead > 0) {
    if (static_cast<std::uint64_t>(ahead) <= outstanding &&
        bytes <= outbox_.ring_bytes() - sizeof(OutboxHeader)) {
      remains.done = static_cast<std::uint64_t>(ahead);
      remains.payload = {at(head_) + sizeof(OutboxHeader), bytes};
    } else {
      remains.believable = false;
    }
  }

  std::uint64_t const first_open = expected + remains.done;
  std::uint64_t const claim = out().claim.load(std::memory_order_seq_cst);
  remains.claim = claim <= next_serial_ ? claim : 0;
  // Behind a take-back it may claim more than is left to it: it had not looked at the limit yet, and would
  // have withdrawn.
  std::uint64_t const left = outstanding - remains.done;
  std::uint64_t const most = std::min(max_claimed, ack_cursor_ ? next_serial_ - first_open : left);
  if (claim > first_open && claim - first_open <= most) {
    remains.begun = left != 0;
  } else if (claim > first_open) {
    remains.believable = false;
  }
  return remains;
}

}  // namespace procpool::inline v0::channel
