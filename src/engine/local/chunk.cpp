#include "engine/local/chunk.hpp"

#include <algorithm>
#include <cstring>

namespace procpool::inline v0::local {

Batch::Batch(detail::Segment segment, std::size_t element_size)
    : first_(segment.first),
      count_(segment.count),
      element_size_(element_size),
      ends_(std::move(segment.ends)),
      owned_(std::move(segment.bytes)),
      shares_(std::move(segment.shares)),
      all_(owned_) {
  if (owned_.size() >= detail::message_memory_from) block_ = detail::message_block_of(owned_);
}

std::uint64_t Batch::offset(std::uint64_t index) const noexcept {
  if (element_size_ != 0) return index * element_size_;
  if (index == 0) return 0;
  return ends_.empty() ? all_.size() : ends_[index - 1];
}

std::span<std::byte const> Batch::bytes(std::uint64_t first, std::uint64_t count) const noexcept {
  std::uint64_t const from = offset(first - first_);
  return all_.subspan(from, offset(first - first_ + count) - from);
}

std::uint64_t Batch::elements_within(std::uint64_t first, std::uint64_t bytes) const noexcept {
  if (element_size_ != 0) return std::max<std::uint64_t>(1, bytes / element_size_);
  if (ends_.empty()) return 1;
  std::uint64_t const index = first - first_;
  auto const from = ends_.begin() + static_cast<std::ptrdiff_t>(index);
  auto const to = std::upper_bound(from, ends_.end(), offset(index) + bytes);
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(to - from));
}

std::shared_ptr<detail::MessageBlock> const& Batch::in_memory_of(Arena& arena,
                                                                 Arena::Worker const& worker) {
  if (block_ == nullptr || !arena.claim(*block_, worker)) {
    auto copy = copy_for(arena, worker, all_);
    all_ = {copy->data(), all_.size()};
    block_ = std::move(copy);
    owned_ = detail::Bytes();
  }
  return block_;
}

std::shared_ptr<detail::MessageBlock> copy_for(Arena& arena, Arena::Worker const& worker,
                                               std::span<std::byte const> bytes) {
  auto copy = arena.take_for(worker, bytes.size());
  std::memcpy(copy->data(), bytes.data(), bytes.size());
  return copy;
}

std::string element_text(std::uint64_t task, std::uint64_t first, std::uint64_t count) {
  std::string text = "task " + std::to_string(task) + ", element" + (count > 1 ? "s " : " ") +
                     std::to_string(first);
  if (count > 1) text += " to " + std::to_string(first + count - 1);
  return text;
}

}  // namespace procpool::inline v0::local
