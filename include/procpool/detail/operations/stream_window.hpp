// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// StreamWindow: how many inputs of a stream may be under way. Arithmetic only.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API StreamWindow {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::uint64_t begin_per_worker = 4;
  static constexpr std::uint64_t max_per_worker = 4096;
  static constexpr std::uint64_t min_per_worker = 2;
  static constexpr std::uint64_t max_bytes = std::uint64_t{64} << 20;
  // A window that lasts as long as this keeps everybody busy; a larger one would only read ahead.
  static constexpr std::chrono::milliseconds long_enough{50};

  // `given` is kept to; without it the window begins small and grows. `chunk` 0: not given.
  StreamWindow(std::optional<std::size_t> given, std::size_t chunk, std::size_t workers);

  std::uint64_t size() const noexcept { return size_; }

  // The number of elements to read now, if `outstanding` were read and not taken. Never one by one:
  // each refill hands over its elements, which wakes a thread.
  std::uint64_t refill(std::uint64_t outstanding) const noexcept;

  // Results were taken; an element takes so many bytes, arguments and result together.
  void taken(std::uint64_t elements, std::uint64_t bytes_per_element, TimePoint now) noexcept;

 private:
  bool fixed_;
  std::size_t chunk_;
  std::uint64_t min_;
  std::uint64_t max_;
  std::uint64_t size_;
  std::uint64_t taken_ = 0;  // since this time
  TimePoint since_{};
};

}  // namespace procpool::inline v0_1::detail
