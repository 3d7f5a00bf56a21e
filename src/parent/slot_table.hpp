// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SlotTable: the slots of a pool, one for each worker it may have at a time. Grows with resize(), never
// shrinks, and no slot ever moves: any thread may go through it without a lock.

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/count.hpp>

#include "parent/slot.hpp"
#include "parent/trimmer.hpp"

namespace procpool::inline v0_1::parent {

class SlotTable final : public Trimmable {
 public:
  SlotTable() = default;
  SlotTable(SlotTable const&) = delete;
  SlotTable& operator=(SlotTable const&) = delete;
  ~SlotTable() {
    for (auto& block : blocks_) delete[] block.load(std::memory_order_relaxed);
  }

  std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }

  // `index` is below a size() that was seen.
  Slot& operator[](std::size_t index) const noexcept {
    // Relaxed: a thread that knows the size has acquired all that was made before it.
    return *blocks_[index / block_size].load(std::memory_order_relaxed)[index % block_size];
  }

  // One thread at a time.
  void grow(std::size_t size, std::shared_ptr<BufferPool> const& buffer_pool) {
    for (std::size_t index = this->size(); index < size; ++index) {
      auto& block = blocks_[index / block_size];
      if (block.load(std::memory_order_relaxed) == nullptr) {
        block.store(new std::unique_ptr<Slot>[block_size], std::memory_order_relaxed);
      }
      block.load(std::memory_order_relaxed)[index % block_size] =
          std::make_unique<Slot>(static_cast<int>(index), buffer_pool);
      // Release: a thread that sees the size sees the slot.
      size_.store(index + 1, std::memory_order_release);
    }
  }

  std::optional<TimePoint> trim(TimePoint now) override {
    std::optional<TimePoint> next;
    for (std::size_t i = 0; i < size(); ++i) next = earlier(next, (*this)[i].trim(now));
    return next;
  }

 private:
  static constexpr std::size_t block_size = 64;
  std::array<std::atomic<std::unique_ptr<Slot>*>, detail::max_workers / block_size> blocks_{};
  std::atomic<std::size_t> size_{0};
};

}  // namespace procpool::inline v0_1::parent
