// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/pipe_reader.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "handle/spins.hpp"

namespace procpool::inline v0_1::handle {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int pauses_per_look = 4;

}  // namespace

PipeReader::PipeReader(DirectionWords& words, std::byte const* ring, int socket)
    : words_(words), ring_(ring), doorbell_(socket) {
  head_ = words.head.load(std::memory_order_acquire);
  torn_ = is_torn(head_, words.head_whole.load(std::memory_order_relaxed));
}

PipeReader::Receive PipeReader::receive(detail::Bytes& message,
                                        std::optional<detail::TimePoint> deadline,
                                        std::vector<os::UniqueFd>* descriptors) {
  if (torn_) refuse_torn_end();
  for (bool over = false; !read();) {
    bool const more = can_read();
    if (!more && ended_) return Receive::ended;
    if (over) return Receive::nothing;
    over = deadline && Clock::now() >= *deadline;
    // Also a message of which more and more comes ends with the deadline.
    if (!more || over) wait(deadline);
  }
  // Ahead of the rest: what is refused is received later.
  if (descriptors != nullptr) *descriptors = doorbell_.take(begin_);
  size_.reset();
  std::swap(message, bytes_);
  bytes_.clear();
  return Receive::message;
}

bool PipeReader::read() {
  if (is_whole()) return true;  // its descriptors were refused
  // Loaded once: another process may lower it at any time.
  std::uint64_t there = available();
  if (there < needed()) return false;
  if (!size_) {
    MessageHeader header{};
    begin_ = head_;
    take(reinterpret_cast<std::byte*>(&header), sizeof header);
    there -= sizeof header;
    size_ = header.size;
  }
  // The memory grows with what has come, not with what was said.
  std::uint64_t const some = std::min(there, *size_ - bytes_.size());
  std::size_t const before = bytes_.size();
  bytes_.resize(before + some);
  take(bytes_.data() + before, some);
  if (is_whole()) {
    head_ = message_end(head_);
    // Before the head: a message that was received is not taken for a torn one.
    words_.head_whole.store(head_, std::memory_order_relaxed);
  }
  publish();
  return is_whole();
}

bool PipeReader::is_whole() const noexcept { return size_ && bytes_.size() == *size_; }

std::uint64_t PipeReader::available() const {
  // seq_cst: the bytes were written before the tail moved over them; and see wait().
  std::uint64_t const there = words_.tail.load(std::memory_order_seq_cst) - head_;
  if (there > pipe_ring_bytes) refuse_destroyed_memory();
  return there;
}

// A header is read in one piece.
std::uint64_t PipeReader::needed() const noexcept { return size_ ? 1 : sizeof(MessageHeader); }

bool PipeReader::can_read() const { return available() >= needed(); }

void PipeReader::take(std::byte* to, std::size_t size) {
  std::size_t const at = head_ % pipe_ring_bytes;
  std::size_t const to_end = std::min(size, pipe_ring_bytes - at);
  if (to_end != 0) std::memcpy(to, ring_ + at, to_end);
  if (to_end != size) std::memcpy(to + to_end, ring_, size - to_end);
  head_ += size;
}

void PipeReader::publish() {
  words_.head.store(head_, std::memory_order_seq_cst);
  if (words_.writer_sleeps.load(std::memory_order_seq_cst) == 0) return;
  // A writer that is woken for each message would be woken too often.
  std::uint64_t const left = words_.tail.load(std::memory_order_relaxed) - head_;
  if (left > pipe_ring_bytes / 2) return;
  if (words_.writer_sleeps.exchange(0, std::memory_order_seq_cst) != 0) doorbell_.ring();
}

void PipeReader::wait(std::optional<detail::TimePoint> deadline) {
  auto const has_some = [this] { return can_read(); };
  bool const waits = !deadline || *deadline > Clock::now();
  if (waits && spins().spin_until(pauses_per_look, has_some)) return;
  // "Asleep, then look": against the writer's "tail, then look who sleeps", all seq_cst. It stays
  // set if nothing comes: a program that polls the descriptor is woken by it too.
  words_.reader_sleeps.store(1, std::memory_order_seq_cst);
  if (has_some()) return;
  if (doorbell_.sleep(deadline) == PipeDoorbell::Heard::hung_up) ended_ = true;
}

}  // namespace procpool::inline v0_1::handle
