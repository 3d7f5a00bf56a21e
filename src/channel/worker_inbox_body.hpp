#pragma once

// What the worker's end of a channel does with the inbox, and while there is nothing: waits, sleeps, takes
// records, claims elements. What may be done with it stands in the header of the class.

#include <chrono>
#include <cstdio>
#include <cstring>

#include "channel/worker_end.hpp"
#include "os/futex.hpp"
#include "os/spin.hpp"

namespace procpool::inline v0::channel {

inline std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

template <class SyncPoints>
BasicWorkerEnd<SyncPoints>::BasicWorkerEnd(os::Memfd const& inbox, os::Memfd const& outbox,
                                           std::size_t ring_bytes, os::Event event,
                                           os::UniqueFd&& control)
    : inbox_(inbox, control_bytes, ring_bytes, os::Access::read_only),
      outbox_(outbox, control_bytes, ring_bytes, os::Access::read_write),
      event_(std::move(event)),
      control_(std::move(control)) {}

// ---- the inbox

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::wait() {
  for (;;) {
    if (load_frame()) {
      if (header_.kind != InboxKind::memory) return true;
      hear_of_memory();
      finish_frame(false);
      continue;
    }
    if (descriptors_gone_) return false;
    // A wake-up costs more than most tasks do.
    if (spin()) continue;
    // About to sleep, perhaps for long: what tasks printed should not wait for the next one.
    std::fflush(stdout);
    std::uint32_t const doorbell = in().doorbell.load(std::memory_order_seq_cst);
    // "Parked, then look": against the parent's "tail, then look at parked", both seq_cst.
    park(0);
    // After the parking: a parent that naps from now on sees that we sleep, and looks itself.
    notify_before_sleep();
    bool const something = in().tail.load(std::memory_order_seq_cst) != head_;
    bool const leave = in().stop.load(std::memory_order_seq_cst) != 0;
    if (!something && !leave) fall_asleep(doorbell);
    unpark();
    if (leave && !something) return false;
  }
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::park(std::uint32_t what_for) noexcept {
  sleep_number_ += 2;
  if (sleep_number_ == 0) sleep_number_ = 2;
  out().parked.store(sleep_number_ | what_for, std::memory_order_seq_cst);
  SyncPoints::at(what_for == for_room ? SyncPoint::asleep_for_room
                 : retiring_          ? SyncPoint::parked_to_retire
                                      : SyncPoint::parked);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::unpark() noexcept {
  // Relaxed: seen late, it costs the parent a needless wake at most.
  out().parked.store(0, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::unparked);
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::fall_asleep(std::uint32_t doorbell) noexcept {
  SyncPoints::at(SyncPoint::falling_asleep);
  os::futex_wait(in().doorbell, doorbell, os::FutexScope::shared);
  SyncPoints::at(SyncPoint::woken);
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::spin() const noexcept {
  std::chrono::microseconds const time{in().spin.load(std::memory_order_relaxed)};
  if (time.count() == 0) return false;
  return os::spin_until(time, 1, [this] { return has_frame(); });
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::load_frame() {
  // Acquire: the record, and the limit that came with it, were written before the tail.
  if (in().tail.load(std::memory_order_acquire) == head_) return false;
  std::memcpy(&header_, at(head_), sizeof header_);
  SyncPoints::at(SyncPoint::loaded);
  if (!load_payload()) {
    descriptors_gone_ = true;
    return false;
  }
  open_count_ = 0;
  open_bytes_ = 0;
  opened_at_ = now_ns();
  elements_per_look_ = look_at_clock_ = 1;
  block_ = 1;
  return true;
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::finish_frame(bool revoked) {
  head_ += aligned(sizeof header_ + in_ring(header_.where, header_.size));
  payload_ = {};
  large_ = os::Mapping();
  // After what is no chunk the parent may be waiting for room: no outcome tells it.
  bool news = open_count_ != 0 || revoked || header_.kind == InboxKind::share ||
              header_.kind == InboxKind::memory;
  if (open_count_ != 0) close_frame();
  // After the outcomes: a parent that took elements back takes what is unanswered when it sees this
  // cursor for never begun. seq_cst: a release, and before the look at `parked`, as in publish().
  out().inbox_head.store(head_, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::given_back);
  if (!news) news = cursor_is_awaited();
  if (news) notify_parent();
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::cursor_is_awaited() const noexcept {
  bool const chunk = header_.kind == InboxKind::chunk || header_.kind == InboxKind::hook;
  // The last outcome was a record of its own, and published before: a parent that took something back
  // meanwhile has heard of it already, and waits for the cursor. seq_cst: behind the cursor's store; the
  // parent looks at that behind the limit's.
  if (chunk) {
    return in().limit.load(std::memory_order_seq_cst) < header_.serial + header_.count;
  }
  // No chunk is behind it: there was no room for one. Seen late, it rings once too often.
  return !has_frame();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::retire() noexcept {
  retiring_ = true;
  // Relaxed: the outcome that follows publishes it; where none follows, the system call below.
  out().exit_hint.store(static_cast<std::uint32_t>(ExitHint::retiring), std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::retiring);
  event_.ring();
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::wait_until_wanted_back(std::uint64_t serial) {
  show_results();
  while (serial < in().limit.load(std::memory_order_seq_cst)) {
    std::uint32_t const doorbell = in().doorbell.load(std::memory_order_seq_cst);
    // "Parked, then look": against the parent's "limit, then look at parked", both seq_cst.
    park(0);
    if (serial < in().limit.load(std::memory_order_seq_cst)) fall_asleep(doorbell);
    unpark();
  }
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::begin(std::uint64_t serial) {
  if (retiring_ && header_.kind != InboxKind::hook) wait_until_wanted_back(serial);
  // Claim first, then look at the limit; the parent lowers the limit and then looks at the claim.
  // The other order would let both sides have the element.
  out().claim.store(serial + 1, std::memory_order_seq_cst);
  SyncPoints::at(SyncPoint::claimed);
  if (serial < in().limit.load(std::memory_order_seq_cst)) {
    SyncPoints::at(SyncPoint::begun);
    return true;
  }
  withdraw(serial);
  return false;
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::withdraw(std::uint64_t serial) noexcept {
  // Release: nothing of the element was touched, which the cursor in finish_frame() then tells.
  out().claim.store(serial, std::memory_order_release);
  SyncPoints::at(SyncPoint::withdrawn);
}

// ---- being asked to stop

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::asked_to_stop(std::uint64_t serial) const noexcept {
  // Relaxed: nothing else is concluded from it.
  return in().asked.load(std::memory_order_relaxed) == serial + 1;
}

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::listen(std::uint64_t serial) noexcept {
  if (out().listens.load(std::memory_order_relaxed) == serial + 1) return;
  out().listens.store(serial + 1, std::memory_order_relaxed);
  SyncPoints::at(SyncPoint::listening);
}

template <class SyncPoints>
std::uint64_t BasicWorkerEnd<SyncPoints>::wait_until_asked(std::uint64_t seen) const {
  for (;;) {
    // Bell, then word: see ParentEnd::ask_to_stop.
    std::uint32_t const doorbell = in().stop_doorbell.load(std::memory_order_seq_cst);
    std::uint64_t const asked = in().asked.load(std::memory_order_seq_cst);
    if (asked != seen) return asked;
    os::futex_wait(in().stop_doorbell, doorbell, os::FutexScope::shared);
  }
}

}  // namespace procpool::inline v0::channel
