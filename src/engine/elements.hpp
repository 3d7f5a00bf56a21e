// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Reads the elements of a run one after the other: packed if their size is fixed, else each behind
// its length. Nothing is checked: this program wrote the bytes itself.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace procpool::inline v0_1 {

class ElementReader {
 public:
  ElementReader(std::span<std::byte const> bytes, std::size_t fixed_size) noexcept
      : rest_(bytes), fixed_size_(fixed_size) {}

  // For elements of fixed size: the bytes of the next one, and the distance to those of the element
  // behind it. Empty elements have a length too.
  std::byte const* place() const noexcept { return rest_.data() + (step() - fixed_size_); }
  std::size_t step() const noexcept {
    return fixed_size_ != 0 ? fixed_size_ : sizeof(std::uint64_t);
  }
  void skip(std::uint64_t elements) noexcept { rest_ = rest_.subspan(elements * step()); }

  std::span<std::byte const> next() noexcept {
    std::uint64_t size = fixed_size_;
    if (fixed_size_ == 0) {
      std::memcpy(&size, rest_.data(), sizeof size);
      rest_ = rest_.subspan(sizeof size);
    }
    auto const element = rest_.first(size);
    rest_ = rest_.subspan(size);
    return element;
  }

 private:
  std::span<std::byte const> rest_;
  std::size_t fixed_size_;
};

}  // namespace procpool::inline v0_1
