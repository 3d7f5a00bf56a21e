// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/queue_memory.hpp"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::handle {
namespace {

constexpr char const* file_name = "procpool queue";
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr std::uint64_t hand_alignment = 64 * 1024;

[[noreturn]] void refuse_file(char const* why) {
  throw std::runtime_error(std::string("this is no queue: ") + why);
}

}  // namespace

QueueMemory::QueueMemory(QueueShape const& shape) {
  set_shape(shape);
  file_ = os::Memfd::create_sparse(file_name, file_bytes());
  file_.allocate(0, seats_offset + seats_bytes);
  file_.allocate(ring_offset, min_span);
  file_.seal(seals);
  view_ = os::Mapping(file_, os::Access::read_write, 0, ring_offset + ring_bytes_,
                      os::Visibility::children_and_dumps);
  auto& made = *::new (view_.data()) QueueWords{};
  made.header = {queue_magic, shape};
  made.span.store(min_span, std::memory_order_relaxed);  // relaxed: nobody else has it yet
}

QueueMemory::QueueMemory(os::UniqueFd file) : file_(std::move(file)) {
  if (!file_.is_memory_with(seals)) refuse_file("it is no memory file whose size is sealed");
  std::uint64_t const size = file_.size();
  if (size < ring_offset) refuse_file("it is too small");
  // A copy: any process that has the file may change it at any time.
  QueueHeader header{};
  file_.read_at(std::as_writable_bytes(std::span(&header, 1)), 0);
  if (header.magic != queue_magic) refuse_file("it begins with other bytes");
  QueueShape const& shape = header.shape;
  if (shape.items > max_queue_items || shape.bytes > max_queue_bytes ||
      shape.redeliver > max_redeliver) {
    refuse_file("its limits are too large");
  }
  // A push would wait for ever.
  if (shape.items == 0 || shape.bytes < unit) refuse_file("it has no room for any item");
  set_shape(shape);
  if (size != file_bytes()) refuse_file("its size is not that of its limits");
  view_ = os::Mapping(file_, os::Access::read_write, 0, ring_offset + ring_bytes_,
                      os::Visibility::children_and_dumps);
}

void QueueMemory::set_shape(QueueShape const& shape) noexcept {
  shape_ = shape;
  ring_bytes_ = std::max(std::bit_ceil(shape.bytes), min_span);
  // A hand of its own has the place of the largest item.
  hand_bytes_ = shape.redeliver == 0
                    ? 0
                    : (shape.bytes + hand_alignment - 1) / hand_alignment * hand_alignment;
}

void QueueMemory::allocate_ring(std::uint64_t from, std::uint64_t to) {
  try {
    file_.allocate(ring_offset + from, to - from);
  } catch (std::system_error const&) {
    throw std::bad_alloc();
  }
}

void QueueMemory::discard_ring(std::uint64_t from, std::uint64_t to) noexcept {
  file_.discard(ring_offset + from, to - from);
}

os::Mapping QueueMemory::map_hand(std::size_t seat, std::size_t size, os::Access access) {
  try {
    if (access == os::Access::read_write) file_.allocate(hand_offset(seat), size);
    return os::Mapping(file_, access, hand_offset(seat), size);
  } catch (std::system_error const&) {
    throw std::bad_alloc();
  }
}

void QueueMemory::discard_hand(std::size_t seat) noexcept {
  if (hand_bytes_ != 0) file_.discard(hand_offset(seat), hand_bytes_);
}

void QueueMemory::break_queue() const {
  // Relaxed: see check().
  words().broken.store(1, std::memory_order_relaxed);
  refuse_broken();
}

void QueueMemory::refuse_broken() const {
  throw QueueBroken(
      "this queue is broken: a process has written into its memory or its sockets what "
      "does not belong there, has shut them down, or holds one of its locks for ever");
}

}  // namespace procpool::inline v0_1::handle
