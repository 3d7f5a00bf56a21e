// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/worker_end.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

#include "os/futex.hpp"
#include "os/spin.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

WorkerEnd::WorkerEnd(os::Memfd const& inbox, os::Memfd const& outbox, std::size_t ring_bytes,
                     os::Event event, os::UniqueFd&& control)
    : rings_{os::RingMapping(inbox, control_bytes, ring_bytes, os::Access::read_only),
             os::RingMapping(outbox, outbox_control_bytes, ring_bytes, os::Access::read_write)},
      event_(std::move(event)),
      control_(std::move(control)) {}

// ---- the inbox

bool WorkerEnd::wait() {
  for (;;) {
    if (load_frame()) {
      if (header_.kind != InboxKind::memory) return true;
      apply_memory_notice();
      finish_frame();
      continue;
    }
    if (descriptors_gone()) return false;
    // A wake-up costs more than most tasks do.
    if (spin()) continue;
    // The sleep may be long: tasks' output should not wait for the next task.
    std::fflush(stdout);
    std::uint32_t const doorbell = doorbell_.read();
    // "Parked, then look": against the parent's "tail, then look at parked", both seq_cst.
    doorbell_.park(0);
    PROCPOOL_SYNC_POINT(parked);
    // After parking: a parent that begins a short poll now sees that we sleep, and looks itself.
    outbox_.notify_before_sleep();
    bool const something = rings_.in().tail.load(std::memory_order_seq_cst) != head_;
    bool const leave = rings_.in().stop.load(std::memory_order_seq_cst) != 0;
    if (!something && !leave) doorbell_.sleep(doorbell);
    doorbell_.unpark();
    if (leave && !something) return false;
  }
}

bool WorkerEnd::spin() const noexcept {
  std::chrono::microseconds const time{rings_.in().spin.load(std::memory_order_relaxed)};
  if (time.count() == 0) return false;
  return os::spin_until(time, 1, [this] { return has_frame(); });
}

bool WorkerEnd::load_frame() {
  // Acquire: the frame, and the limit that came with it, were written before the tail.
  if (rings_.in().tail.load(std::memory_order_acquire) == head_) return false;
  std::byte const* const frame = rings_.in_at(head_);
  std::memcpy(&header_, frame, sizeof header_);
  PROCPOOL_SYNC_POINT(loaded);
  if (!payloads_.load(header_, frame)) {
    descriptors_gone_ = true;
    return false;
  }
  outbox_.begin_frame(header_);
  return true;
}

void WorkerEnd::finish_frame() {
  head_ += aligned(sizeof header_ + in_ring(header_.where, header_.size));
  payloads_.drop();
  bool const news = outbox_.has_open_frame();
  if (news) outbox_.close_frame();
  // After the outcomes: a parent that revoked elements takes the unanswered ones for never begun when
  // it sees this cursor. seq_cst: a release, and before the load of `parked`, as in publish().
  rings_.out().inbox_head.store(head_, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(frame_released);
  if (news || cursor_is_awaited()) outbox_.notify_parent();
}

bool WorkerEnd::cursor_is_awaited() const noexcept {
  // The last outcome was a frame of its own, and published before. A parent that revoked something
  // meanwhile has seen that outcome already, and waits for the cursor. seq_cst: after the store of the
  // cursor; the parent loads the cursor after it stored the limit.
  bool const chunk = header_.kind == InboxKind::chunk || header_.kind == InboxKind::internal_chunk;
  return chunk &&
         rings_.in().limit.load(std::memory_order_seq_cst) < header_.serial + header_.count;
}

void WorkerEnd::apply_memory_notice() {
  ResultMemory& results = outbox_.result_memory();
  if (header_.serial != 0) results.let_go();
  std::uint64_t gone = header_.count;
  for (auto ids = payload(); !ids.empty(); ids = ids.subspan(sizeof(std::uint64_t))) {
    std::uint64_t id = 0;
    std::memcpy(&id, ids.data(), sizeof id);
    if (gone != 0) {
      payloads_.forget_block(id);
      --gone;
    } else {
      results.release(id);
    }
  }
}

std::size_t WorkerEnd::kept_bytes() const noexcept {
  return outbox_.result_footprint() + payloads_.footprint();
}

// ---- claiming

detail::Run WorkerEnd::start_run(std::uint64_t serial, std::uint64_t max_elements,
                                 detail::RunWords const& task) {
  if (retiring_ && header_.kind != InboxKind::internal_chunk) wait_until_revoked(serial);
  std::uint64_t const before = serial - header_.serial;
  return {{&rings_.out().claim, &rings_.in().limit, &rings_.out().done, task.running, task.index,
           task.abandoned},
          {serial, serial + std::min(max_elements, header_.count - before),
           header_.element + before, outbox_.claimed_at_once()}};
}

void WorkerEnd::retire() noexcept {
  retiring_ = true;
  // Relaxed: the next outcome publishes it; if there is none, the system call below does.
  rings_.out().exit_hint.store(static_cast<std::uint32_t>(ExitHint::retiring),
                               std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(retiring);
  outbox_.notify_now();
}

void WorkerEnd::wait_until_revoked(std::uint64_t serial) {
  outbox_.show_results();
  while (serial < rings_.in().limit.load(std::memory_order_seq_cst)) {
    std::uint32_t const doorbell = doorbell_.read();
    // "Parked, then look": against the parent's "limit, then look at parked", both seq_cst.
    doorbell_.park(0);
    PROCPOOL_SYNC_POINT(parked_to_retire);
    if (serial < rings_.in().limit.load(std::memory_order_seq_cst)) doorbell_.sleep(doorbell);
    doorbell_.unpark();
  }
}

// ---- being asked to stop

bool WorkerEnd::asked_to_stop(std::uint64_t serial) const noexcept {
  // Relaxed: no other data depends on it.
  return rings_.in().asked.load(std::memory_order_relaxed) == serial + 1;
}

void WorkerEnd::log(std::uint64_t claim, std::uint32_t level, std::string_view text) noexcept {
  constexpr int max_looks = 100;
  text = text.substr(0, max_log_text);
  std::uint64_t const need = log_footprint(text.size());
  detail::Lock const lock(log_mutex_);
  std::uint64_t const before = log_tail_;
  // Acquire: the parent's reads of the space happen before the writes into it.
  for (int looks = 0;
       before + need - rings_.in().log_head.load(std::memory_order_acquire) > log_bytes; ++looks) {
    if (looks == max_looks) {
      ++log_lost_;
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  LogHeader const header{claim, std::exchange(log_lost_, 0),
                         static_cast<std::uint32_t>(text.size()), level};
  auto const put = [this](std::uint64_t at, void const* from, std::size_t size) {
    std::byte* const log = rings_.outbox.control() + control_bytes;
    std::size_t const begin = at % log_bytes;
    std::size_t const first = std::min(size, log_bytes - begin);
    std::memcpy(log + begin, from, first);
    std::memcpy(log, static_cast<std::byte const*>(from) + first, size - first);
  };
  put(before, &header, sizeof header);
  if (!text.empty()) put(before + sizeof header, text.data(), text.size());
  log_tail_ += need;
  // "Tail, then look at the head": against the parent's "head, then look at the tail", both seq_cst.
  rings_.out().log_tail.store(log_tail_, std::memory_order_seq_cst);
  if (rings_.in().log_head.load(std::memory_order_seq_cst) == before) event_.notify();
}

// A parent that sees a number of this element sees that the words are no longer those of the last
// one: release, and the 0 goes ahead.
void WorkerEnd::tell_progress(std::uint64_t serial, std::uint64_t done,
                              std::uint64_t total) noexcept {
  OutboxWords& out = rings_.out();
  bool const first = out.progress_of.load(std::memory_order_relaxed) != serial + 1;
  if (first) out.progress_of.store(0, std::memory_order_relaxed);
  out.progress_done.store(done, std::memory_order_release);
  out.progress_total.store(total, std::memory_order_release);
  if (first) out.progress_of.store(serial + 1, std::memory_order_release);
}

void WorkerEnd::listen(std::uint64_t serial) noexcept {
  auto& listens = rings_.out().listens;
  if (listens.load(std::memory_order_relaxed) == serial + 1) return;
  listens.store(serial + 1, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(listening);
}

std::uint64_t WorkerEnd::wait_until_asked(std::uint64_t seen) const {
  for (;;) {
    // Doorbell, then word: see ParentEnd::ask_to_stop.
    std::uint32_t const doorbell = rings_.in().stop_doorbell.load(std::memory_order_seq_cst);
    std::uint64_t const asked = rings_.in().asked.load(std::memory_order_seq_cst);
    if (asked != seen) return asked;
    os::futex_wait(rings_.in().stop_doorbell, doorbell, os::FutexScope::shared);
  }
}

// ---- leaving

void WorkerEnd::leave() noexcept {
  // Release: all outcomes were published before.
  rings_.out().exit_hint.store(static_cast<std::uint32_t>(ExitHint::left),
                               std::memory_order_release);
  outbox_.notify_now();
}

void WorkerEnd::say_exiting() noexcept {
  auto const said = static_cast<ExitHint>(rings_.out().exit_hint.load(std::memory_order_relaxed));
  if (said == ExitHint::none || said == ExitHint::retiring) say_exit_hint(ExitHint::exiting);
}

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
