// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/pipe_writer.hpp"

#include <algorithm>
#include <cstring>

#include <procpool/errors.hpp>

#include "handle/spins.hpp"

namespace procpool::inline v0_1::handle {

namespace {

constexpr int pauses_per_look = 4;
// A reader that is gone is noticed at least after so many bytes.
constexpr std::uint64_t bytes_per_look = pipe_ring_bytes / 4;

[[noreturn]] void refuse_closed() {
  throw PipeClosed("nobody has the other end of this pipe any more");
}

}  // namespace

PipeWriter::PipeWriter(DirectionWords& words, std::byte* ring, int socket)
    : words_(words), ring_(ring), doorbell_(socket) {
  // Acquire: an earlier owner has sent the end here, in another process.
  tail_ = published_ = words.tail.load(std::memory_order_acquire);
  seen_head_ = words.head.load(std::memory_order_acquire);
  torn_ = is_torn(tail_, words.tail_whole.load(std::memory_order_relaxed));
  look_at_ = tail_;
}

void PipeWriter::send(std::span<std::byte const> message, std::span<int const> descriptors) {
  if (tail_ >= look_at_) {
    if (doorbell_.hung_up()) refuse_closed();
    look_at_ = tail_ + bytes_per_look;
  }
  if (torn_) refuse_torn_end();
  // Nothing may fail within a message, because nobody could go on with it.
  doorbell_.reserve();
  if (!descriptors.empty() && !doorbell_.send(tail_, descriptors)) refuse_closed();
  torn_ = true;  // until all of it is there
  MessageHeader const header{message.size()};
  write(std::as_bytes(std::span(&header, 1)));
  write(message);
  tail_ = message_end(tail_);
  // Before the tail: a message is not taken for a torn one.
  words_.tail_whole.store(tail_, std::memory_order_relaxed);
  torn_ = false;
  // The message is sent. That its reader is gone by now is the next one's error.
  if (!publish()) look_at_ = tail_;
}

void PipeWriter::write(std::span<std::byte const> bytes) {
  while (!bytes.empty()) {
    std::size_t const some = put(bytes);
    bytes = bytes.subspan(some);
    if (bytes.empty()) return;
    wait_for_room();
  }
}

std::size_t PipeWriter::put(std::span<std::byte const> bytes) {
  std::size_t const some = std::min(bytes.size(), room());
  if (some == 0) return 0;
  std::size_t const at = tail_ % pipe_ring_bytes;
  std::size_t const to_end = std::min(some, pipe_ring_bytes - at);
  std::memcpy(ring_ + at, bytes.data(), to_end);
  std::memcpy(ring_, bytes.data() + to_end, some - to_end);
  tail_ += some;
  return some;
}

std::size_t PipeWriter::room() {
  if (tail_ - seen_head_ > pipe_ring_bytes / 2) {
    // seq_cst: the reader has copied what is about to be written over; and see wait_for_room.
    std::uint64_t const head = words_.head.load(std::memory_order_seq_cst);
    if (tail_ - head > pipe_ring_bytes) refuse_destroyed_memory();
    seen_head_ = head;
  }
  // The gap behind a message fits: published positions are multiples of 8, as the ring is.
  return pipe_ring_bytes - (tail_ - seen_head_);
}

void PipeWriter::wait_for_room() {
  auto const has_room = [this] { return room() != 0; };
  if (has_room()) return;
  if (!publish()) refuse_closed();
  if (spins().spin_until(pauses_per_look, has_room)) return;
  for (;;) {
    // "Asleep, then look": against the reader's "head, then look who sleeps", all seq_cst.
    words_.writer_sleeps.store(1, std::memory_order_seq_cst);
    if (has_room()) break;
    if (doorbell_.sleep(std::nullopt) == PipeDoorbell::Heard::hung_up) refuse_closed();
  }
  words_.writer_sleeps.store(0, std::memory_order_relaxed);
}

bool PipeWriter::publish() {
  if (tail_ == published_) return true;
  published_ = tail_;
  words_.tail.store(tail_, std::memory_order_seq_cst);
  if (words_.reader_sleeps.load(std::memory_order_seq_cst) == 0) return true;
  return words_.reader_sleeps.exchange(0, std::memory_order_seq_cst) == 0 || doorbell_.ring();
}

}  // namespace procpool::inline v0_1::handle
