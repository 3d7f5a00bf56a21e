// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/result_memory.hpp"

#include <unistd.h>

#include <algorithm>

namespace procpool::inline v0_1::channel {

ResultMemory::ResultMemory() : process_(::getpid()) {}

std::shared_ptr<detail::MessageBlock> ResultMemory::take(std::size_t bytes) {
  if (::getpid() != process_) return nullptr;
  Kept* best = nullptr;
  for (Kept& kept : kept_) {
    if (!kept.free() || !kept.block->fits(bytes)) continue;
    if (best == nullptr || kept.block->footprint() < best->block->footprint()) best = &kept;
  }
  if (best != nullptr) return best->block;

  auto const over = [&](std::size_t more) {
    return kept_.size() >= max_result_blocks || footprint() + more > max_result_bytes;
  };
  while (over(bytes)) {
    // The oldest goes first.
    auto const free = std::ranges::find_if(kept_, &Kept::free);
    if (free == kept_.end()) break;
    kept_.erase(free);
  }
  auto const block = std::make_shared<detail::MessageBlock>(bytes, false);
  // A block that cannot be kept serves once.
  if (!over(block->footprint()) && !os::addresses_are_limited()) kept_.push_back({block});
  return block;
}

void ResultMemory::lease(detail::MessageBlock const& block) noexcept {
  for (Kept& kept : kept_) {
    if (kept.block.get() == &block) kept.leased = true;
  }
}

void ResultMemory::release(std::uint64_t id) noexcept {
  for (Kept& kept : kept_) {
    if (kept.block->id() == id) kept.leased = false;
  }
}

void ResultMemory::let_go() noexcept { kept_.clear(); }

std::size_t ResultMemory::footprint() const noexcept {
  std::size_t sum = 0;
  for (Kept const& kept : kept_) sum += kept.block->footprint();
  return sum;
}

}  // namespace procpool::inline v0_1::channel
