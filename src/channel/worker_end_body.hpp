#pragma once

// What the worker's end of a channel does, for every policy of steps: its source includes this to make what
// ships, and the tests that end or stop a side at each step. What may be done with it stands in the
// header of the class.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "channel/worker_end.hpp"
#include "os/futex.hpp"
#include "os/pause.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::channel {

// Results of a long chunk are shown at least this often, looked at between elements.
inline constexpr std::uint64_t show_after_ns = 2'000'000;
// Large messages that wait to be taken; more would fill memory faster than the parent empties it.
inline constexpr std::size_t most_large_waiting = 4;
inline constexpr std::uint64_t longest_look_interval = 1024;
// Below this time per element the claims would be most of it.
inline constexpr std::uint64_t short_element_ns = 50;

inline std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

template <class Steps>
BasicWorkerEnd<Steps>::BasicWorkerEnd(os::Memfd const& inbox, os::Memfd const& outbox,
                                      std::size_t ring_bytes, os::Event event,
                                      os::UniqueFd&& control)
    : inbox_(inbox, control_bytes, ring_bytes, os::Access::read_only),
      outbox_(outbox, control_bytes, ring_bytes, os::Access::read_write),
      event_(std::move(event)),
      control_(std::move(control)) {}

// ---- the inbox

template <class Steps>
bool BasicWorkerEnd<Steps>::wait() {
  for (;;) {
    if (load_record()) {
      if (header_.kind != InboxKind::memory) return true;
      hear_of_memory();
      finish_record(false);
      continue;
    }
    if (descriptors_gone_) return false;
    // A wake-up costs more than most tasks do.
    if (spin()) continue;
    // About to sleep, perhaps for long: what tasks printed should not wait for the next one.
    std::fflush(stdout);
    std::uint32_t const bell = in().bell.load(std::memory_order_seq_cst);
    // "Parked, then look": against the parent's "tail, then look at parked", both seq_cst.
    park(0);
    // After the parking: a parent that naps from now on sees that we sleep, and looks itself.
    ring_before_sleep();
    bool const something = in().tail.load(std::memory_order_seq_cst) != head_;
    bool const leave = in().stop.load(std::memory_order_seq_cst) != 0;
    if (!something && !leave) fall_asleep(bell);
    unpark();
    if (leave && !something) return false;
  }
}

template <class Steps>
void BasicWorkerEnd<Steps>::park(std::uint32_t what_for) noexcept {
  sleep_number_ += 2;
  if (sleep_number_ == 0) sleep_number_ = 2;
  out().parked.store(sleep_number_ | what_for, std::memory_order_seq_cst);
  Steps::at(what_for == for_room ? Step::parked_for_room
            : retiring_          ? Step::parked_to_retire
                                 : Step::parked);
}

template <class Steps>
void BasicWorkerEnd<Steps>::unpark() noexcept {
  // Relaxed: seen late, it costs the parent a needless wake at most.
  out().parked.store(0, std::memory_order_relaxed);
  Steps::at(Step::unparked);
}

template <class Steps>
void BasicWorkerEnd<Steps>::fall_asleep(std::uint32_t bell) noexcept {
  Steps::at(Step::falling_asleep);
  os::futex_wait(in().bell, bell, os::FutexScope::shared);
  Steps::at(Step::woken);
}

template <class Steps>
bool BasicWorkerEnd<Steps>::spin() const noexcept {
  std::uint64_t const time = std::uint64_t{1000} * in().spin.load(std::memory_order_relaxed);
  if (time == 0) return false;
  constexpr int looks_per_clock = 32;
  std::uint64_t const end = now_ns() + time;
  do {
    for (int look = 0; look < looks_per_clock; ++look) {
      if (has_record()) return true;
      os::pause();
    }
  } while (now_ns() < end);
  return false;
}

template <class Steps>
bool BasicWorkerEnd<Steps>::load_record() {
  // Acquire: the record, and the limit that came with it, were written before the tail.
  if (in().tail.load(std::memory_order_acquire) == head_) return false;
  std::memcpy(&header_, at(head_), sizeof header_);
  Steps::at(Step::loaded);
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

template <class Steps>
void BasicWorkerEnd<Steps>::finish_record(bool taken_back) {
  head_ += aligned(sizeof header_ + in_ring(header_.where, header_.size));
  payload_ = {};
  large_ = os::Mapping();
  // After what is no chunk the parent may be waiting for room: no outcome tells it.
  bool news = open_count_ != 0 || taken_back || header_.kind == InboxKind::share ||
              header_.kind == InboxKind::memory;
  if (open_count_ != 0) close_record();
  // After the outcomes: a parent that took elements back takes what is unanswered when it sees this
  // cursor for never begun. seq_cst: a release, and before the look at `parked`, as in publish().
  out().inbox_head.store(head_, std::memory_order_seq_cst);
  Steps::at(Step::given_back);
  if (!news) news = cursor_is_awaited();
  if (news) ring_parent();
}

template <class Steps>
bool BasicWorkerEnd<Steps>::cursor_is_awaited() const noexcept {
  bool const chunk = header_.kind == InboxKind::chunk || header_.kind == InboxKind::hook;
  // The last outcome was a record of its own, and published before: a parent that took something back
  // meanwhile has heard of it already, and waits for the cursor. seq_cst: behind the cursor's store; the
  // parent looks at that behind the limit's.
  if (chunk) {
    return in().limit.load(std::memory_order_seq_cst) < header_.serial + header_.count;
  }
  // No chunk is behind it: there was no room for one. Seen late, it rings once too often.
  return !has_record();
}

template <class Steps>
void BasicWorkerEnd<Steps>::retire() noexcept {
  retiring_ = true;
  // Relaxed: the outcome that follows publishes it.
  out().farewell.store(static_cast<std::uint32_t>(Farewell::retiring), std::memory_order_relaxed);
  Steps::at(Step::retiring);
}

template <class Steps>
void BasicWorkerEnd<Steps>::wait_until_wanted_back(std::uint64_t serial) {
  show_results();
  while (serial < in().limit.load(std::memory_order_seq_cst)) {
    std::uint32_t const bell = in().bell.load(std::memory_order_seq_cst);
    // "Parked, then look": against the parent's "limit, then look at parked", both seq_cst.
    park(0);
    if (serial < in().limit.load(std::memory_order_seq_cst)) fall_asleep(bell);
    unpark();
  }
}

template <class Steps>
bool BasicWorkerEnd<Steps>::begin(std::uint64_t serial) {
  if (retiring_ && header_.kind != InboxKind::hook) wait_until_wanted_back(serial);
  // Claim first, then look at the limit; the parent lowers the limit and then looks at the claim.
  // The other order would let both sides have the element.
  out().claim.store(serial + 1, std::memory_order_seq_cst);
  Steps::at(Step::claimed);
  if (serial < in().limit.load(std::memory_order_seq_cst)) {
    Steps::at(Step::begun);
    return true;
  }
  withdraw(serial);
  return false;
}

template <class Steps>
void BasicWorkerEnd<Steps>::withdraw(std::uint64_t serial) noexcept {
  // Release: nothing of the element was touched, which the cursor in finish_record() then tells.
  out().claim.store(serial, std::memory_order_release);
  Steps::at(Step::withdrawn);
}

// ---- being asked to stop

template <class Steps>
bool BasicWorkerEnd<Steps>::asked_to_stop(std::uint64_t serial) const noexcept {
  // Relaxed: nothing else is concluded from it.
  return in().asked.load(std::memory_order_relaxed) == serial + 1;
}

template <class Steps>
void BasicWorkerEnd<Steps>::listen(std::uint64_t serial) noexcept {
  if (out().listens.load(std::memory_order_relaxed) == serial + 1) return;
  out().listens.store(serial + 1, std::memory_order_relaxed);
  Steps::at(Step::listening);
}

template <class Steps>
std::uint64_t BasicWorkerEnd<Steps>::wait_until_asked(std::uint64_t seen) const {
  for (;;) {
    // Bell, then word: see ParentEnd::ask_to_stop.
    std::uint32_t const bell = in().asked_bell.load(std::memory_order_seq_cst);
    std::uint64_t const asked = in().asked.load(std::memory_order_seq_cst);
    if (asked != seen) return asked;
    os::futex_wait(in().asked_bell, bell, os::FutexScope::shared);
  }
}

// ---- the outbox

template <class Steps>
void BasicWorkerEnd<Steps>::append_value(std::uint64_t serial, std::span<std::byte const> value,
                                         bool length_first) {
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
  Steps::at(Step::written);
  // Release: the result's bytes first, then the mark that counts them. Should we die now, the parent
  // takes the result from the open record.
  out().done.store(pack_done(serial + 1, open_bytes_ + need), std::memory_order_release);
  Steps::at(Step::marked);
  count_done(1, need);
}

template <class Steps>
void BasicWorkerEnd<Steps>::have_room(std::uint64_t serial, std::uint64_t bytes) {
  std::uint64_t const most = inline_limit(outbox_.ring_bytes());
  if (open_count_ != 0 && open_bytes_ + bytes > most) show_results();
  if (open_count_ != 0) return;
  // Room for the largest open record at once, so that it never has to be moved.
  wait_for_room(sizeof(OutboxHeader) + most);
  open_first_ = serial;
  open_bytes_ = 0;
}

template <class Steps>
void BasicWorkerEnd<Steps>::count_done(std::uint64_t serials, std::uint64_t bytes) {
  open_count_ += serials;
  open_bytes_ += bytes;
  look_at_clock_ -= serials;
  bool const last = open_first_ + open_count_ == header_.serial + header_.count;
  if (!last && look_at_clock_ == 0) look_at_clock();
}

template <class Steps>
void BasicWorkerEnd<Steps>::look_at_clock() {
  std::uint64_t const passed = now_ns() - opened_at_;
  block_ = passed < open_count_ * short_element_ns ? most_claimed : 1;
  if (passed >= show_after_ns) {
    show_results();
    elements_per_look_ = 1;
  } else if (elements_per_look_ < longest_look_interval && passed < show_after_ns / 4) {
    elements_per_look_ *= 2;
  }
  look_at_clock_ = elements_per_look_;
}

template <class Steps>
bool BasicWorkerEnd<Steps>::fits_run(std::size_t result_size) const noexcept {
  return result_size <= inline_limit(outbox_.ring_bytes());
}

template <class Steps>
void BasicWorkerEnd<Steps>::begin_run(std::uint64_t serial, std::size_t result_size,
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

template <class Steps>
bool BasicWorkerEnd<Steps>::end_run(detail::BasicRun<Steps> const& run) {
  std::uint64_t const next = run.next();
  if (run.taken_back()) withdraw(next);
  if (next != run_first_) count_done(next - run_first_, (next - run_first_) * run_result_);
  return !run.taken_back();
}

template <class Steps>
void BasicWorkerEnd<Steps>::append_thrown(std::uint64_t serial,
                                          std::span<std::byte const> exception) {
  put_single(OutboxKind::thrown, serial, exception, false);
}

template <class Steps>
void BasicWorkerEnd<Steps>::put_single(OutboxKind kind, std::uint64_t serial,
                                       std::span<std::byte const> payload, bool length_first) {
  std::uint64_t const length = payload.size();
  OutboxHeader header{};
  header.kind = kind;
  header.size = length + (length_first ? sizeof length : 0);
  header.serial = serial;
  header.count = 1;

  Letter letter;
  if (header.size > inline_limit(outbox_.ring_bytes())) {
    letter = seal_letter(payload, header.size - length);
    header.where = letter.block != nullptr ? Where::block : Where::file;
  }
  // From here on nothing throws: either all of the record is published or none.
  show_results();
  while (large_ends_.size() >= most_large_waiting) {
    wait_until_taken(large_ends_.front());
    large_ends_.pop_front();
  }
  std::uint64_t const inside = in_ring(header.where, header.size);
  wait_for_room(sizeof header + inside);
  std::byte* const to = place(tail_) + sizeof header;
  if (header.where != Where::ring) {
    int const descriptor = letter.block != nullptr ? letter.block->fd() : letter.file.fd();
    if (os::send_packet(control_.get(), std::as_bytes(std::span(&header.serial, 1)),
                        std::span(&descriptor, 1), false) != os::SendResult::sent) {
      // Closed, or full of what is not ours: the few that may wait there always have room.
      // The outcome cannot be told any more, only that this process ended, and why.
      say_farewell(Farewell::descriptors_gone);
      ::_exit(EXIT_FAILURE);
    }
    Steps::at(Step::single_sent);
    if (letter.block != nullptr) {
      results_.lend(*letter.block);
      std::memcpy(to, &letter.ref, sizeof letter.ref);
    }
  } else if (!payload.empty()) {
    std::memcpy(to, payload.data(), payload.size());
  }
  std::uint64_t const now = now_ns();
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(place(tail_), &header, sizeof header);
  tail_ += aligned(sizeof header + inside);
  if (header.where != Where::ring) large_ends_.push_back(tail_);
  Steps::at(Step::single_written);
  publish();
  ring_parent();
  // Release: the record is out. A parent that finds the mark behind the records it has collected takes
  // the open record for empty, which it is.
  out().done.store(pack_done(serial + 1, 0), std::memory_order_release);
  Steps::at(Step::single_marked);
}

template <class Steps>
void BasicWorkerEnd<Steps>::close_record() {
  std::uint64_t const now = now_ns();
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.size = open_bytes_;
  header.serial = open_first_;
  header.count = open_count_;
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(place(tail_), &header, sizeof header);
  Steps::at(Step::header_written);
  tail_ += aligned(sizeof header + open_bytes_);
  open_count_ = 0;
  open_bytes_ = 0;
  publish();
}

template <class Steps>
void BasicWorkerEnd<Steps>::show_results() {
  if (open_count_ == 0) return;
  close_record();
  ring_parent();
}

template <class Steps>
void BasicWorkerEnd<Steps>::publish() {
  // seq_cst: a release for the record's bytes, and before the look at `parked` in ring_parent(), against
  // the parent's "parked, then look at the tail".
  out().tail.store(tail_, std::memory_order_seq_cst);
  Steps::at(Step::published);
}

template <class Steps>
void BasicWorkerEnd<Steps>::ring_parent() noexcept {
  std::uint32_t const sleep = in().parked.load(std::memory_order_seq_cst);
  // Once per sleep of the parent: until it wakes up and parks again every further ring would be a
  // system call for nothing.
  bool needless = sleep == 0 || sleep == rung_for_;
  if ((sleep & nap) != 0 && !needless) {
    // Relaxed: only a matter of when. Half of the ring is left to fill until the parent is there.
    std::uint64_t const taken = in().outbox_head.load(std::memory_order_relaxed);
    needless = tail_ - taken < outbox_.ring_bytes() / 2;
  }
  untold_ = true;
  if (!needless) ring_for(sleep);
}

template <class Steps>
void BasicWorkerEnd<Steps>::ring_before_sleep() noexcept {
  if (!untold_) return;
  std::uint32_t const sleep = in().parked.load(std::memory_order_seq_cst);
  if ((sleep & nap) != 0 && sleep != rung_for_) ring_for(sleep);
}

template <class Steps>
void BasicWorkerEnd<Steps>::ring_for(std::uint32_t sleep) noexcept {
  rung_for_ = sleep;
  untold_ = false;
  if (!event_.ring()) descriptors_gone_ = true;
  Steps::at(Step::rang);
}

template <class Steps>
void BasicWorkerEnd<Steps>::wait_for_room(std::uint64_t bytes) {
  std::uint64_t const end = tail_ + aligned(bytes);
  if (end > outbox_.ring_bytes()) wait_until_taken(end - outbox_.ring_bytes());
}

template <class Steps>
void BasicWorkerEnd<Steps>::wait_until_taken(std::uint64_t cursor) {
  // Acquire: the parent has copied what we are about to overwrite.
  while (in().outbox_head.load(std::memory_order_acquire) < cursor) {
    std::uint32_t const bell = in().bell.load(std::memory_order_seq_cst);
    park(for_room);
    ring_before_sleep();
    if (in().outbox_head.load(std::memory_order_seq_cst) < cursor) fall_asleep(bell);
    unpark();
  }
}

template <class Steps>
void BasicWorkerEnd<Steps>::say_farewell(Farewell why) noexcept {
  // Relaxed: read after our death.
  out().farewell.store(static_cast<std::uint32_t>(why), std::memory_order_relaxed);
}

}  // namespace procpool::inline v0::channel
