// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/parent_end.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "os/futex.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

ParentEnd::ParentEnd(std::size_t ring_bytes)
    : inbox_memory_(os::Memfd::create("procpool inbox", control_bytes + ring_bytes)),
      outbox_memory_(os::Memfd::create("procpool outbox", outbox_control_bytes + ring_bytes)),
      inbox_(inbox_memory_, control_bytes, ring_bytes, os::Access::read_write),
      outbox_(outbox_memory_, outbox_control_bytes, ring_bytes, os::Access::read_only) {
  // FUTURE_WRITE after our own mapping, which stays writable; every later mapping is read-only.
  inbox_memory_.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
  outbox_memory_.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  new (inbox_.control()) InboxWords{};
  // The outbox words begin as the zeros of fresh memory; the worker expects that too.
}

void ParentEnd::forget_memory() noexcept {
  inbox_memory_ = os::Memfd(os::UniqueFd());
  outbox_memory_ = os::Memfd(os::UniqueFd());
}

// ---- putting

std::uint64_t ParentEnd::inbox_head() {
  // Acquire: the worker's reads of the space happen before our next writes into it.
  std::uint64_t const head = out().inbox_head.load(std::memory_order_acquire);
  if (head < seen_head_ || head > tail_) {
    throw BadFrame("the worker's inbox cursor is " + std::to_string(head) +
                   ", which is not between " + std::to_string(seen_head_) + " and " +
                   std::to_string(tail_));
  }
  return seen_head_ = head;
}

bool ParentEnd::fits(std::uint64_t inline_payload) {
  std::uint64_t const need = footprint(inline_payload);
  // The worker stores its cursor with every frame, so each load would fetch the line from its core.
  if (free_bytes() >= need) return true;
  inbox_head();
  return free_bytes() >= need;
}

void ParentEnd::put(InboxHeader header, PayloadRef const& payload_ref) {
  header.where = payload_ref.where;
  header.size = payload_ref.bytes.size();
  std::span<std::byte const> const payload = payload_ref.inside();
  std::byte* const to = place(tail_);
  std::memcpy(to, &header, sizeof header);
  if (!payload.empty()) std::memcpy(to + sizeof header, payload.data(), payload.size());
  tail_ += aligned(sizeof header + payload.size());
  PROCPOOL_SYNC_POINT(put);
}

void ParentEnd::put_registration(std::uint64_t function, PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = InboxKind::register_function;
  header.function = static_cast<std::uint32_t>(function);
  put(header, payload_ref);
}

std::uint64_t ParentEnd::put_chunk(Chunk const& chunk, PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = chunk.internal ? InboxKind::internal_chunk : InboxKind::chunk;
  header.function = static_cast<std::uint32_t>(chunk.function);
  header.apart = chunk.apart ? 1 : 0;
  header.serial = next_serial_;
  header.count = chunk.count;
  header.task = chunk.task;
  header.element = chunk.element;
  header.random = chunk.random;
  put(header, payload_ref);
  next_serial_ += chunk.count;
  chunks_end_ = tail_;
  return header.serial;
}

void ParentEnd::put_resource(Resource const& resource, PayloadRef const& payload_ref) {
  InboxHeader header{};
  header.kind = InboxKind::resource;
  header.function = resource.kind;
  header.apart = static_cast<std::uint32_t>(resource.descriptors);
  header.count = resource.parts;
  header.task = resource.id;
  put(header, payload_ref);
}

void ParentEnd::put_evict(std::span<std::uint64_t const> ids) {
  InboxHeader header{};
  header.kind = InboxKind::forget;
  put(header, {std::as_bytes(ids)});
}

void ParentEnd::put_memory(MemoryNotice const& news, std::span<std::uint64_t const> ids) {
  InboxHeader header{};
  header.kind = InboxKind::memory;
  header.serial = news.let_go ? 1 : 0;
  header.count = news.gone;
  put(header, {std::as_bytes(ids)});
}

void ParentEnd::publish() {
  // Relaxed: the store of the tail publishes it. A worker that sees the frame sees this limit.
  in().limit.store(limit_ = next_serial_, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(raised);
  // seq_cst: publishes the frame (release), and precedes the load of `parked` in wake(). The worker
  // stores `parked` and then loads the tail: one of the two sees the other.
  in().tail.store(tail_, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(told);
  wake();
}

void ParentEnd::wake() noexcept { wake_from(out().parked.load(std::memory_order_seq_cst)); }

void ParentEnd::wake_from(std::uint32_t sleep) noexcept {
  // Once per sleep: the worker takes some time to wake up, and each further system call would be
  // wasted. It looks again before its next sleep, which has another number.
  if (sleep == 0 || sleep == notified_epoch_) return;
  notified_epoch_ = sleep;
  ring_doorbell();
}

void ParentEnd::ring_doorbell() noexcept {
  // The word moves first: a worker between its last look and its sleep then does not fall asleep.
  in().doorbell.fetch_add(1, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(doorbell_moved);
  os::futex_wake(in().doorbell, std::numeric_limits<int>::max(), os::FutexScope::shared);
  PROCPOOL_SYNC_POINT(doorbell_rung);
}

// ---- revoking

std::uint64_t ParentEnd::revoke(std::uint64_t from) {
  // Never raised before the acknowledgement: a worker that saw the lower limit may be about to
  // withdraw.
  from = std::min(from, limit_);
  // Limit first, then the claim. The worker claims first and then loads the limit. In the single
  // order of these four, either the worker sees our limit and withdraws, or we see its claim.
  in().limit.store(limit_ = from, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(lowered);
  std::uint64_t const claim = out().claim.load(std::memory_order_seq_cst);
  if (claim > next_serial_) {
    throw BadFrame("the worker claims element " + std::to_string(claim) + " of " +
                   std::to_string(next_serial_) + " that it was given");
  }
  // The frames behind the last chunk have no element, and the worker does not notify of them.
  ack_cursor_ = chunks_end_;
  PROCPOOL_SYNC_POINT(cut);
  // A retiring worker sleeps until the rest is revoked. The seq_cst store of the limit pairs with its
  // "parked, then load the limit".
  wake();
  return claim > from ? claim : from;
}

bool ParentEnd::acknowledged() {
  // The worker publishes its outcomes before it moves its head; inbox_head() acquires.
  if (!ack_cursor_ || inbox_head() < *ack_cursor_) return false;
  ack_cursor_.reset();
  // Relaxed: inbox_head() has acquired it.
  gap_ = {next_serial_, out().done.load(std::memory_order_relaxed)};
  return true;
}

std::int32_t ParentEnd::done_from(std::uint64_t owed, std::uint64_t mark) const noexcept {
  // The mark from before the gap, however long the gap is.
  if (owed == gap_.end && mark == gap_.mark) return 0;
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(mark >> 32) -
                                   static_cast<std::uint32_t>(owed));
}

std::optional<ParentEnd::Running> ParentEnd::running(std::uint64_t owed) const noexcept {
  // seq_cst: after an earlier store of the limit, as in revoke().
  std::uint64_t const claim = out().claim.load(std::memory_order_seq_cst);
  if (claim > next_serial_) return std::nullopt;  // a lie is met in revoke() or remains()
  // Acquire: not older than the claim.
  std::uint64_t const mark = out().done.load(std::memory_order_acquire);
  // The first that is neither done nor below `owed`: revoked serials are never marked.
  std::int32_t const done = done_from(owed, mark);
  std::uint64_t const serial = owed + static_cast<std::uint32_t>(std::max(done, 0));
  if (claim <= serial || claim - serial > max_claimed) return std::nullopt;
  // It has begun if the limit was above it ever since the claim.
  return Running{serial, serial < limit_};
}

std::optional<ParentEnd::LogLine> ParentEnd::next_log() {
  // Acquire: the record was written before the tail. seq_cst: see WorkerEnd::log.
  std::uint64_t const tail = out().log_tail.load(std::memory_order_seq_cst);
  std::uint64_t const available = tail - log_head_;
  if (available == 0) return std::nullopt;
  auto const get = [this](std::uint64_t at, void* to, std::size_t size) {
    std::byte const* const log = outbox_.control() + control_bytes;
    std::size_t const begin = at % log_bytes;
    std::size_t const first = std::min(size, log_bytes - begin);
    std::memcpy(to, log + begin, first);
    std::memcpy(static_cast<std::byte*>(to) + first, log, size - first);
  };
  LogHeader header{};
  bool const whole = available <= log_bytes && available >= sizeof header;
  if (whole) get(log_head_, &header, sizeof header);
  if (!whole || header.size > max_log_text || log_footprint(header.size) > available) {
    throw BadFrame("the worker's log has a record that cannot be");
  }
  LogLine line{header.claim, header.lost, header.level, std::string(header.size, '\0')};
  get(log_head_ + sizeof header, line.text.data(), line.text.size());
  log_head_ += log_footprint(header.size);
  in().log_head.store(log_head_, std::memory_order_seq_cst);
  return line;
}

std::optional<ParentEnd::Progress> ParentEnd::told_progress() const noexcept {
  // Acquire, three times: the last load then sees whether the words were replaced meanwhile. It only
  // says whether the others belong together.
  std::uint64_t const of = out().progress_of.load(std::memory_order_acquire);
  std::uint64_t const done = out().progress_done.load(std::memory_order_acquire);
  std::uint64_t const total = out().progress_total.load(std::memory_order_acquire);
  if (of == 0 || out().progress_of.load(std::memory_order_relaxed) != of) return std::nullopt;
  return Progress{of - 1, done, total};
}

bool ParentEnd::listens(std::uint64_t serial) const noexcept {
  // Relaxed: a hint.
  return out().listens.load(std::memory_order_relaxed) == serial + 1;
}

void ParentEnd::ask_to_stop(std::uint64_t serial) noexcept {
  if (in().asked.load(std::memory_order_relaxed) == serial + 1) return;
  // The word before the doorbell: a reader that finds the doorbell unchanged has seen the word.
  in().asked.store(serial + 1, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(asked);
  in().stop_doorbell.fetch_add(1, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(stop_doorbell_moved);
  os::futex_wake(in().stop_doorbell, std::numeric_limits<int>::max(), os::FutexScope::shared);
  PROCPOOL_SYNC_POINT(stop_doorbell_rung);
}

bool ParentEnd::retiring() const noexcept { return exit_hint() == ExitHint::retiring; }

ExitHint ParentEnd::exit_hint() const noexcept {
  // Relaxed: the worker stored it before it published its last outcomes, which an acquire has seen.
  return static_cast<ExitHint>(out().exit_hint.load(std::memory_order_relaxed));
}

std::uint64_t ParentEnd::progress() const noexcept {
  // Relaxed: loaded again and again. None of the words falls, except for a withdrawn claim, after
  // which the cursor moves. A worker that makes a lie change is running.
  return out().claim.load(std::memory_order_relaxed) + out().done.load(std::memory_order_relaxed) +
         out().tail.load(std::memory_order_relaxed) +
         out().inbox_head.load(std::memory_order_relaxed);
}

bool ParentEnd::left() const noexcept {
  // Acquire: the next look at the outbox sees all that was published before.
  return out().exit_hint.load(std::memory_order_acquire) ==
         static_cast<std::uint32_t>(ExitHint::left);
}

// ---- collecting

std::optional<ParentEnd::Arrival> ParentEnd::next() {
  // Acquire: the bytes of the frame were written before the tail moved over them.
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
  if (header.kind < OutboxKind::values || header.kind > OutboxKind::resource) {
    throw BadFrame("a frame of unknown kind " +
                   std::to_string(static_cast<std::uint32_t>(header.kind)));
  }
  if (header.where > Where::block) {
    throw BadFrame("a frame whose payload is in no known place: " +
                   std::to_string(static_cast<std::uint32_t>(header.where)));
  }
  std::uint64_t const inside = in_ring(header.where, header.size);
  if (inside > there - sizeof header) {
    throw BadFrame("a frame claims " + std::to_string(inside) + " bytes where " +
                   std::to_string(there - sizeof header) + " are");
  }
  arrival.payload = {at(head_) + sizeof header, inside};
  // Cannot pass the tail: both are aligned.
  head_ += aligned(sizeof header + inside);
  return arrival;
}

void ParentEnd::taken() {
  // seq_cst against the worker's "parked for room, then load this cursor". Also a release: our
  // copies of the frames were made before the worker may overwrite them.
  in().outbox_head.store(head_, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(taken);
  std::uint32_t const sleep = out().parked.load(std::memory_order_seq_cst);
  if ((sleep & for_room) != 0) wake_from(sleep);
}

// ---- sleeping

void ParentEnd::park(std::uint32_t number) noexcept {
  // seq_cst: before our last look at the tail, see Outbox::publish.
  in().parked.store(number, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(parent_parked);
}

bool ParentEnd::begin_short_poll(std::uint32_t number) noexcept {
  park(number | short_poll);
  // seq_cst, against the worker's "parked, then look whether the parent polls".
  return out().parked.load(std::memory_order_seq_cst) != 0 && news();
}

void ParentEnd::unpark() noexcept {
  // Relaxed: a notification too many is harmless.
  in().parked.store(0, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(parent_unparked);
}

bool ParentEnd::news() const noexcept {
  if (out().tail.load(std::memory_order_seq_cst) != head_) return true;
  return ack_cursor_ && out().inbox_head.load(std::memory_order_seq_cst) >= *ack_cursor_;
}

bool ParentEnd::sleeps() const noexcept {
  return out().parked.load(std::memory_order_relaxed) != 0;
}

void ParentEnd::let_spin(std::chrono::microseconds time) noexcept {
  auto const microseconds = static_cast<std::uint32_t>(time.count());
  if (microseconds == spin_) return;
  // Relaxed: affects only speed.
  in().spin.store(spin_ = microseconds, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(spin_set);
}

void ParentEnd::ask_to_leave() {
  // Relaxed: the doorbell moves after it, with seq_cst, and the worker waits for that.
  in().stop.store(1, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(leave_said);
  ring_doorbell();
}

// ---- after a death

ParentEnd::Remains ParentEnd::remains(std::uint64_t expected, std::uint64_t outstanding) const {
  Remains remains;
  // Relaxed: hints for an error text, written by a process that is dead.
  remains.stage = out().stage.load(std::memory_order_relaxed);
  remains.exit_hint = static_cast<ExitHint>(out().exit_hint.load(std::memory_order_relaxed));

  // Acquire: the results were written before the mark that counts them. Loaded once: forked children
  // of the worker may still write to it.
  std::uint64_t const mark = out().done.load(std::memory_order_acquire);
  auto const bytes = static_cast<std::uint32_t>(mark);
  // Not positive if the open frame is empty, if its elements have been collected, or if what came
  // behind them was revoked.
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
  // After a revocation the claim may reach beyond what is left: the worker had not loaded the limit
  // yet, and would have withdrawn.
  std::uint64_t const left = outstanding - remains.done;
  std::uint64_t const most = std::min(max_claimed, ack_cursor_ ? next_serial_ - first_open : left);
  if (claim > first_open && claim - first_open <= most) {
    remains.begun = left != 0;
  } else if (claim > first_open) {
    remains.believable = false;
  }
  return remains;
}

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
