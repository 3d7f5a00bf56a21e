// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/outbox.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "os/socket.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

namespace {

// Results of a long chunk are shown at least this often, looked at between elements. It is longer
// than a grain of a map lasts (Scheduler::grain_ns): shown in its middle, that would notify twice.
constexpr std::uint64_t show_after_ns = 4'400'000;
// Large messages that wait to be taken; more would fill memory faster than the parent empties it.
constexpr std::size_t max_large_waiting = 4;
constexpr std::uint64_t longest_look_interval = 1024;
// Below this time per element the claims would be most of it.
constexpr std::uint64_t short_element_ns = 50;

std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

void write_value(std::byte* to, std::span<std::byte const> value, std::uint64_t length,
                 bool length_first) noexcept {
  if (length_first) {
    std::memcpy(to, &length, sizeof length);
    to += sizeof length;
  }
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
}

}  // namespace

void Outbox::begin_frame(InboxHeader const& header) noexcept {
  last_serial_ = header.serial + header.count;
  claims_one_by_one_ = header.apart != 0;
  open_count_ = 0;
  open_bytes_ = 0;
  opened_at_ = now_ns();
  elements_per_look_ = look_at_clock_ = 1;
  claimed_at_once_ = 1;
}

// ---- runs

void Outbox::reserve(detail::Run& run, std::size_t result_size) {
  std::uint64_t const first = run.next();
  have_room(first, result_size);
  std::uint64_t most = look_at_clock_;
  if (result_size != 0) {
    most = std::min(most, (inline_limit(rings_.outbox.ring_bytes()) - open_bytes_) / result_size);
  }
  run.elements().end = std::min(run.elements().end, first + most);
  run.reserve(rings_.out_at(tail_) + sizeof(OutboxHeader) + open_bytes_, result_size, open_bytes_);
}

void Outbox::append_value(detail::Run& run, std::span<std::byte const> value, bool length_first,
                          detail::Resource::List const& named, std::uint64_t state) {
  std::uint64_t const need = value.size() + (length_first ? sizeof(std::uint64_t) : 0);
  if (need > inline_limit(rings_.outbox.ring_bytes()) || !named.empty() || state != 0) {
    put_single(OutboxKind::values, run, value, length_first, named, state);
    return;
  }
  reserve(run, need);
  write_value(run.result(), value, value.size(), length_first);
  run.done();
}

void Outbox::append_thrown(detail::Run& run, std::span<std::byte const> exception,
                           detail::Resource::List const& named, std::uint64_t state) {
  put_single(OutboxKind::thrown, run, exception, false, named, state);
}

bool Outbox::end_run(detail::Run const& run) {
  if (run.revoked()) run.withdraw();
  count(run);
  return !run.revoked();
}

// ---- the open frame

void Outbox::have_room(std::uint64_t serial, std::uint64_t bytes) {
  std::uint64_t const most = inline_limit(rings_.outbox.ring_bytes());
  if (open_count_ != 0 && open_bytes_ + bytes > most) show_results();
  if (open_count_ != 0) return;
  // Room for the largest open frame at once, so that it never has to be moved.
  wait_for_room(sizeof(OutboxHeader) + most);
  open_first_ = serial;
  open_bytes_ = 0;
}

void Outbox::count(detail::Run const& run) {
  if (run.count() == 0) return;
  open_count_ += run.count();
  open_bytes_ += run.count() * run.result_size();
  look_at_clock_ -= run.count();
  bool const last = open_first_ + open_count_ == last_serial_;
  if (!last && look_at_clock_ == 0) look_at_clock();
}

void Outbox::look_at_clock() {
  std::uint64_t const passed = now_ns() - opened_at_;
  claimed_at_once_ = passed < open_count_ * short_element_ns ? max_claimed : 1;
  if (passed >= show_after_ns) {
    show_results();
    elements_per_look_ = 1;
  } else if (elements_per_look_ < longest_look_interval && passed < show_after_ns / 4) {
    elements_per_look_ *= 2;
  }
  look_at_clock_ = elements_per_look_;
}

// ---- frames of one element

Outbox::OutgoingPayload Outbox::seal_payload(std::span<std::byte const> payload,
                                             std::uint64_t length, std::uint64_t prefix) {
  OutgoingPayload outgoing;
  try {
    // The result may have been written there in the first place.
    outgoing.block = detail::message_block_of(payload);
    if (outgoing.block == nullptr && (outgoing.block = results_.take(payload.size())) != nullptr) {
      std::memcpy(outgoing.block->data(), payload.data(), payload.size());
    }
  } catch (std::system_error const&) {  // no memory to keep; a file may still find some
  }
  if (outgoing.block != nullptr) {
    std::memcpy(outgoing.block->data() - prefix, &length, prefix);
    outgoing.ref = {outgoing.block->id(),
                    static_cast<std::uint32_t>(detail::MessageBlock::ahead - prefix), 1};
    return outgoing;
  }
  outgoing.file = os::Memfd::create_growing(detail::message_name);
  outgoing.file.write_at(std::as_bytes(std::span(&length, 1)).first(prefix), 0);
  outgoing.file.write_at(payload, prefix);
  // A sealed file cannot change while the parent decodes it in place.
  outgoing.file.seal(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return outgoing;
}

// Each outcome brings what it names, and not only the first one: the parent may have let go of it
// meanwhile. What only goes down is the parent's own.
std::vector<Outbox::OutgoingResource> Outbox::prepare(detail::Resource::List const& named) {
  std::vector<OutgoingResource> outgoing;
  outgoing.reserve(named.size());
  for (auto const& resource : named) {
    std::vector<int> descriptors;
    if (!resource->goes_down_only()) descriptors = resource->descriptors();
    ResourceRecord const record{resource->id(), static_cast<std::uint32_t>(resource->kind()),
                                static_cast<std::uint32_t>(descriptors.size())};
    outgoing.push_back({record, std::move(descriptors)});
  }
  return outgoing;
}

void Outbox::put_resource(OutgoingResource const& resource) {
  OutboxHeader header{};
  header.kind = OutboxKind::resource;
  header.size = sizeof resource.record;
  bool const packet = !resource.descriptors.empty();
  if (packet) wait_for_packet_room();
  wait_for_room(sizeof header + header.size);
  if (packet) send_packet(resource.record.id, resource.descriptors);
  PROCPOOL_SYNC_POINT(resource_sent);
  std::byte* const to = rings_.out_at(tail_);
  std::memcpy(to, &header, sizeof header);
  std::memcpy(to + sizeof header, &resource.record, sizeof resource.record);
  tail_ += aligned(sizeof header + header.size);
  if (packet) large_ends_.push_back(tail_);
  publish();
  notify_parent();
}

void Outbox::wait_for_packet_room() {
  while (large_ends_.size() >= max_large_waiting) {
    wait_until_taken(large_ends_.front());
    large_ends_.pop_front();
  }
}

void Outbox::send_packet(std::uint64_t number, std::span<int const> descriptors) {
  // Nothing may throw here. A shortage in the kernel passes.
  constexpr int max_tries = 50;
  for (int tries = 0; tries < max_tries; ++tries) {
    try {
      auto const result =
          os::send_packet(control_.get(), std::as_bytes(std::span(&number, 1)), descriptors, false);
      if (result == os::SendResult::sent) return;
      if (result == os::SendResult::closed) break;
    } catch (std::system_error const&) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // The socket is closed, or a task has filled it: our few messages always have room. The outcome
  // cannot be sent any more, only the reason why this process ended.
  say_exit_hint(ExitHint::descriptors_gone);
  ::_exit(EXIT_FAILURE);
}

void Outbox::put_single(OutboxKind kind, detail::Run& run, std::span<std::byte const> payload,
                        bool length_first, detail::Resource::List const& named,
                        std::uint64_t state) {
  std::uint64_t const length = payload.size() - state;  // of the value
  std::uint64_t const prefix = length_first ? sizeof length : 0;
  OutboxHeader header{};
  header.kind = kind;
  header.size = prefix + payload.size();
  header.state = state;
  header.serial = run.next();
  header.count = 1;

  OutgoingPayload outgoing;
  if (header.size > inline_limit(rings_.outbox.ring_bytes())) {
    outgoing = seal_payload(payload, length, prefix);
    header.where = outgoing.block != nullptr ? Where::block : Where::file;
  }
  std::vector<OutgoingResource> const resources = prepare(named);
  // From here on nothing throws: either all of the frame is published or none.
  count(run);
  show_results();
  for (OutgoingResource const& resource : resources) put_resource(resource);
  wait_for_packet_room();
  std::uint64_t const inside = in_ring(header.where, header.size);
  wait_for_room(sizeof header + inside);
  std::byte* const to = rings_.out_at(tail_) + sizeof header;
  if (header.where != Where::ring) {
    int const descriptor = outgoing.block != nullptr ? outgoing.block->fd() : outgoing.file.fd();
    send_packet(header.serial, std::span(&descriptor, 1));
    PROCPOOL_SYNC_POINT(single_sent);
    if (outgoing.block != nullptr) {
      results_.lease(*outgoing.block);
      std::memcpy(to, &outgoing.ref, sizeof outgoing.ref);
    }
  } else {
    write_value(to, payload, length, length_first);
  }
  std::uint64_t const now = now_ns();
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(rings_.out_at(tail_), &header, sizeof header);
  tail_ += aligned(sizeof header + inside);
  if (header.where != Where::ring) large_ends_.push_back(tail_);
  PROCPOOL_SYNC_POINT(single_written);
  publish();
  notify_parent();
  run.done_and_published();
}

// ---- publishing

void Outbox::close_frame() {
  std::uint64_t const now = now_ns();
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.size = open_bytes_;
  header.serial = open_first_;
  header.count = open_count_;
  header.nanoseconds = now - std::exchange(opened_at_, now);
  std::memcpy(rings_.out_at(tail_), &header, sizeof header);
  PROCPOOL_SYNC_POINT(header_written);
  tail_ += aligned(sizeof header + open_bytes_);
  open_count_ = 0;
  open_bytes_ = 0;
  publish();
}

void Outbox::show_results() {
  if (open_count_ == 0) return;
  close_frame();
  notify_parent();
}

void Outbox::publish() {
  // seq_cst: a release for the bytes of the frame, and before the load of `parked` in
  // notify_parent(). The parent stores `parked` and then loads the tail.
  rings_.out().tail.store(tail_, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(published);
}

void Outbox::notify_parent() noexcept {
  std::uint32_t const sleep = rings_.in().parked.load(std::memory_order_seq_cst);
  // Once per sleep of the parent: until it wakes up and parks again, each further system call would
  // be wasted.
  bool needless = sleep == 0 || sleep == notified_epoch_;
  if ((sleep & short_poll) != 0 && !needless) {
    // Relaxed: affects only the moment. Half of the ring stays free until the poll ends.
    std::uint64_t const taken = rings_.in().outbox_head.load(std::memory_order_relaxed);
    needless = tail_ - taken < rings_.outbox.ring_bytes() / 2;
  }
  untold_ = true;
  if (!needless) notify_epoch(sleep);
}

void Outbox::notify_before_sleep() noexcept {
  if (!untold_) return;
  std::uint32_t const sleep = rings_.in().parked.load(std::memory_order_seq_cst);
  if ((sleep & short_poll) != 0 && sleep != notified_epoch_) notify_epoch(sleep);
}

void Outbox::notify_now() noexcept { event_.notify(); }

void Outbox::notify_epoch(std::uint32_t sleep) noexcept {
  notified_epoch_ = sleep;
  untold_ = false;
  if (!event_.notify()) descriptors_gone_ = true;
  PROCPOOL_SYNC_POINT(rang);
}

void Outbox::wait_for_room(std::uint64_t bytes) {
  std::uint64_t const end = tail_ + aligned(bytes);
  // As in ParentEnd::fits: the parent's cursor is loaded only if necessary.
  if (end <= rings_.outbox.ring_bytes() + seen_taken_) return;
  wait_until_taken(end - rings_.outbox.ring_bytes());
}

void Outbox::wait_until_taken(std::uint64_t cursor) {
  // Acquire: the parent has copied what we are about to overwrite.
  while ((seen_taken_ = rings_.in().outbox_head.load(std::memory_order_acquire)) < cursor) {
    std::uint32_t const doorbell = doorbell_.read();
    doorbell_.park(for_room);
    PROCPOOL_SYNC_POINT(parked_for_room);
    notify_before_sleep();
    if (rings_.in().outbox_head.load(std::memory_order_seq_cst) < cursor) doorbell_.sleep(doorbell);
    doorbell_.unpark();
  }
}

void Outbox::say_exit_hint(ExitHint why) noexcept {
  // Relaxed: the parent reads it after our death.
  rings_.out().exit_hint.store(static_cast<std::uint32_t>(why), std::memory_order_relaxed);
}

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
