#pragma once

// What the worker's end of a channel does with the outbox: appends outcomes to the open record, publishes it,
// rings the parent, waits for room. What may be done with it stands in the header of the class.

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "channel/worker_end.hpp"
#include "channel/worker_inbox_body.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::channel {

// Results of a long chunk are shown at least this often, looked at between elements. Longer than a portion of a
// map lasts (Scheduler::grain_ns): shown in its middle, it would ring twice.
inline constexpr std::uint64_t show_after_ns = 4'400'000;
// Large messages that wait to be taken; more would fill memory faster than the parent empties it.
inline constexpr std::size_t max_large_waiting = 4;
inline constexpr std::uint64_t longest_look_interval = 1024;
// Below this time per element the claims would be most of it.
inline constexpr std::uint64_t short_element_ns = 50;

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::append_value(std::uint64_t serial,
                                              std::span<std::byte const> value, bool length_first) {
  std::uint64_t const length = value.size();
  std::uint64_t const need = length + (length_first ? sizeof length : 0);
  if (need > inline_limit(outbox_.ring_bytes())) {
    put_single(OutboxKind::values, serial, value, length_first);
    return;
  }
  have_room(serial, need);
  std::byte* to = place(tail_) + sizeof(OutboxHeader) + open_bytes_;
  if (length_first) {
    std::memcpy(to, &length, sizeof length);
    to += sizeof length;
  }
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
  SyncPoints::at(SyncPoint::written);
  // Release: the result's bytes first, then the mark that counts them. Should we die now, the parent
  // takes the result from the open record.
  out().done.store(pack_done(serial + 1, open_bytes_ + need), std::memory_order_release);
  SyncPoints::at(SyncPoint::marked);
  count_done(1, need);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::have_room(std::uint64_t serial, std::uint64_t bytes) {
  std::uint64_t const most = inline_limit(outbox_.ring_bytes());
  if (open_count_ != 0 && open_bytes_ + bytes > most) show_results();
  if (open_count_ != 0) return;
  // Room for the largest open record at once, so that it never has to be moved.
  wait_for_room(sizeof(OutboxHeader) + most);
  open_first_ = serial;
  open_bytes_ = 0;
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::count_done(std::uint64_t serials, std::uint64_t bytes) {
  open_count_ += serials;
  open_bytes_ += bytes;
  look_at_clock_ -= serials;
  bool const last = open_first_ + open_count_ == header_.serial + header_.count;
  if (!last && look_at_clock_ == 0) look_at_clock();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::look_at_clock() {
  std::uint64_t const passed = now_ns() - opened_at_;
  block_ = passed < open_count_ * short_element_ns ? max_claimed : 1;
  if (passed >= show_after_ns) {
    show_results();
    elements_per_look_ = 1;
  } else if (elements_per_look_ < longest_look_interval && passed < show_after_ns / 4) {
    elements_per_look_ *= 2;
  }
  look_at_clock_ = elements_per_look_;
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::fits_run(std::size_t result_size) const noexcept {
  return result_size <= inline_limit(outbox_.ring_bytes());
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::begin_run(std::uint64_t serial, std::size_t result_size,
                                           detail::RunWords& words, detail::RunPlace& run) {
  have_room(serial, result_size);
  std::uint64_t most = std::min(header_.serial + header_.count - serial, look_at_clock_);
  if (result_size != 0) {
    most = std::min(most, (inline_limit(outbox_.ring_bytes()) - open_bytes_) / result_size);
  }
  words.claim = &out().claim;
  words.limit = &in().limit;
  words.done = &out().done;
  run.serial = run_first_ = serial;
  run.end = serial + most;
  run.results = place(tail_) + sizeof(OutboxHeader) + open_bytes_;
  run.result_size = run_result_ = result_size;
  run.mark = pack_done(serial, open_bytes_);
  run.mark_step = pack_done(1, result_size);
  run.block = header_.apart != 0 ? 1 : block_;
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::end_run(detail::BasicRun<SyncPoints> const& run) {
  std::uint64_t const next = run.next();
  if (run.revoked()) withdraw(next);
  if (next != run_first_) count_done(next - run_first_, (next - run_first_) * run_result_);
  return !run.revoked();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::append_thrown(std::uint64_t serial,
                                               std::span<std::byte const> exception) {
  put_single(OutboxKind::thrown, serial, exception, false);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::put_single(OutboxKind kind, std::uint64_t serial,
                                            std::span<std::byte const> payload, bool length_first) {
  std::uint64_t const length = payload.size();
  OutboxHeader header{};
  header.kind = kind;
  header.size = length + (length_first ? sizeof length : 0);
  header.serial = serial;
  header.count = 1;

  OutgoingPayload outgoing;
  if (header.size > inline_limit(outbox_.ring_bytes())) {
    outgoing = seal_payload(payload, header.size - length);
    header.where = outgoing.block != nullptr ? Where::block : Where::file;
  }
  // From here on nothing throws: either all of the record is published or none.
  show_results();
  while (large_ends_.size() >= max_large_waiting) {
    wait_until_taken(large_ends_.front());
    large_ends_.pop_front();
  }
  std::uint64_t const inside = in_ring(header.where, header.size);
  wait_for_room(sizeof header + inside);
  std::byte* const to = place(tail_) + sizeof header;
  if (header.where != Where::ring) {
    int const descriptor = outgoing.block != nullptr ? outgoing.block->fd() : outgoing.file.fd();
    if (os::send_packet(control_.get(), std::as_bytes(std::span(&header.serial, 1)),
                        std::span(&descriptor, 1), false) != os::SendResult::sent) {
      // Closed, or full of what is not ours: the few that may wait there always have room.
      // The outcome cannot be told any more, only that this process ended, and why.
      say_exit_hint(ExitHint::descriptors_gone);
      ::_exit(EXIT_FAILURE);
    }
    SyncPoints::at(SyncPoint::single_sent);
    if (outgoing.block != nullptr) {
      results_.lease(*outgoing.block);
      std::memcpy(to, &outgoing.ref, sizeof outgoing.ref);
    }
  } else if (!payload.empty()) {
    std::memcpy(to, payload.data(), payload.size());
  }
  std::uint64_t const now = now_ns();
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(place(tail_), &header, sizeof header);
  tail_ += aligned(sizeof header + inside);
  if (header.where != Where::ring) large_ends_.push_back(tail_);
  SyncPoints::at(SyncPoint::single_written);
  publish();
  notify_parent();
  // Release: the record is out. A parent that finds the mark behind the records it has collected takes
  // the open record for empty, which it is.
  out().done.store(pack_done(serial + 1, 0), std::memory_order_release);
  SyncPoints::at(SyncPoint::single_marked);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::close_frame() {
  std::uint64_t const now = now_ns();
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.size = open_bytes_;
  header.serial = open_first_;
  header.count = open_count_;
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(place(tail_), &header, sizeof header);
  SyncPoints::at(SyncPoint::header_written);
  tail_ += aligned(sizeof header + open_bytes_);
  open_count_ = 0;
  open_bytes_ = 0;
  publish();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::show_results() {
  if (open_count_ == 0) return;
  close_frame();
  notify_parent();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::publish() {
  // seq_cst: a release for the record's bytes, and before the look at `parked` in notify_parent(), against
  // the parent's "parked, then look at the tail".
  out().tail.store(tail_, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::published);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::notify_parent() noexcept {
  std::uint32_t const sleep = in().parked.load(std::memory_order_seq_cst);
  // Once per sleep of the parent: until it wakes up and parks again every further ring would be a
  // system call for nothing.
  bool needless = sleep == 0 || sleep == notified_epoch_;
  if ((sleep & short_poll) != 0 && !needless) {
    // Relaxed: only a matter of when. Half of the ring is left to fill until the parent is there.
    std::uint64_t const taken = in().outbox_head.load(std::memory_order_relaxed);
    needless = tail_ - taken < outbox_.ring_bytes() / 2;
  }
  untold_ = true;
  if (!needless) notify_epoch(sleep);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::notify_before_sleep() noexcept {
  if (!untold_) return;
  std::uint32_t const sleep = in().parked.load(std::memory_order_seq_cst);
  if ((sleep & short_poll) != 0 && sleep != notified_epoch_) notify_epoch(sleep);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::notify_epoch(std::uint32_t sleep) noexcept {
  notified_epoch_ = sleep;
  untold_ = false;
  if (!event_.ring()) descriptors_gone_ = true;
  SyncPoints::at(SyncPoint::rang);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::wait_for_room(std::uint64_t bytes) {
  std::uint64_t const end = tail_ + aligned(bytes);
  // As in ParentEnd::fits: the parent's cursor is asked when what is known of it does not suffice.
  if (end <= outbox_.ring_bytes() + seen_taken_) return;
  wait_until_taken(end - outbox_.ring_bytes());
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::wait_until_taken(std::uint64_t cursor) {
  // Acquire: the parent has copied what we are about to overwrite.
  while ((seen_taken_ = in().outbox_head.load(std::memory_order_acquire)) < cursor) {
    std::uint32_t const doorbell = in().doorbell.load(std::memory_order_seq_cst);
    park(for_room);
    notify_before_sleep();
    if (in().outbox_head.load(std::memory_order_seq_cst) < cursor) fall_asleep(doorbell);
    unpark();
  }
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::say_exit_hint(ExitHint why) noexcept {
  // Relaxed: read after our death.
  out().exit_hint.store(static_cast<std::uint32_t>(why), std::memory_order_relaxed);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::leave() noexcept {
  // Release: all outcomes were published before.
  out().exit_hint.store(static_cast<std::uint32_t>(ExitHint::left), std::memory_order_release);
  event_.ring();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::say_exiting() noexcept {
  auto const said = static_cast<ExitHint>(out().exit_hint.load(std::memory_order_relaxed));
  if (said == ExitHint::none || said == ExitHint::retiring) say_exit_hint(ExitHint::exiting);
}

}  // namespace procpool::inline v0::channel
