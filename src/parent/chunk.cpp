// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/chunk.hpp"

#include <algorithm>
#include <cstring>

namespace procpool::inline v0_1::parent {

SharedInput::SharedInput(detail::InputBuffer&& input, std::size_t element_size)
    : first_(input.first),
      count_(input.count),
      element_size_(element_size),
      ends_(std::move(input.ends)),
      owned_(std::move(input.bytes)),
      resources_(std::move(input.resources)),
      all_(owned_) {
  if (owned_.size() >= detail::message_memory_from) block_ = detail::message_block_of(owned_);
}

std::uint64_t SharedInput::offset(std::uint64_t index) const noexcept {
  if (element_size_ != 0) return index * element_size_;
  if (index == 0) return 0;
  return ends_.empty() ? all_.size() : ends_[index - 1];
}

std::span<std::byte const> SharedInput::bytes(std::uint64_t first,
                                              std::uint64_t count) const noexcept {
  std::uint64_t const from = offset(first - first_);
  return all_.subspan(from, offset(first - first_ + count) - from);
}

std::uint64_t SharedInput::elements_within(std::uint64_t first,
                                           std::uint64_t bytes) const noexcept {
  if (element_size_ != 0) return std::max<std::uint64_t>(1, bytes / element_size_);
  if (ends_.empty()) return 1;
  std::uint64_t const index = first - first_;
  auto const from = ends_.begin() + static_cast<std::ptrdiff_t>(index);
  auto const to = std::upper_bound(from, ends_.end(), offset(index) + bytes);
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(to - from));
}

std::shared_ptr<detail::MessageBlock> const& SharedInput::in_memory_of(
    BufferPool& buffer_pool, BufferPool::Worker const& worker) {
  if (block_ == nullptr || !buffer_pool.add_reader(*block_, worker)) {
    auto copy = copy_for(buffer_pool, worker, all_);
    all_ = {copy->data(), all_.size()};
    block_ = std::move(copy);
    owned_ = detail::Bytes();
  }
  return block_;
}

std::shared_ptr<detail::MessageBlock> copy_for(BufferPool& buffer_pool,
                                               BufferPool::Worker const& worker,
                                               std::span<std::byte const> bytes) {
  auto copy = buffer_pool.take_for(worker, bytes.size());
  std::memcpy(copy->data(), bytes.data(), bytes.size());
  return copy;
}

std::string element_text(detail::Task const& task, std::uint64_t first, std::uint64_t count) {
  std::string text = task.name() + ", element" + (count > 1 ? "s " : " ") + std::to_string(first);
  if (count > 1) text += " to " + std::to_string(first + count - 1);
  return text;
}

}  // namespace procpool::inline v0_1::parent
