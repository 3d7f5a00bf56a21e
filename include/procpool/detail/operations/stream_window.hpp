#pragma once

// StreamWindow: how many inputs of a stream may be under way. Arithmetic only.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace procpool::inline v0::detail {

class StreamWindow {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::uint64_t begin_per_worker = 4;
  static constexpr std::uint64_t max_per_worker = 4096;
  static constexpr std::uint64_t min_per_worker = 2;
  static constexpr std::uint64_t max_bytes = std::uint64_t{64} << 20;
  // A window that lasts as long as this keeps everybody busy; a larger one would only read ahead.
  static constexpr std::chrono::milliseconds long_enough{50};

  // `given` is kept to; without it the window begins small and grows. `chunk` 0: not given.
  StreamWindow(std::optional<std::size_t> given, std::size_t chunk, std::size_t workers)
      : fixed_(given.has_value()),
        chunk_(chunk),
        min_(std::max<std::uint64_t>(1, min_per_worker * workers)),
        max_(std::max(max_per_worker * workers, 4 * workers * std::uint64_t{chunk})),
        size_(given ? *given
                    : std::max(begin_per_worker * workers, 2 * workers * std::uint64_t{chunk})) {}

  std::uint64_t size() const noexcept { return size_; }

  // How many elements to read now, `outstanding` being read and not taken. Not one by one: each refill
  // hands over what it has read, and that wakes somebody.
  std::uint64_t refill(std::uint64_t outstanding) const noexcept {
    if (outstanding >= size_) return 0;
    std::uint64_t const free = size_ - outstanding;
    std::uint64_t const whole = std::min<std::uint64_t>(std::max<std::size_t>(chunk_, 1), size_);
    if (free < std::max(size_ / 4, whole)) return 0;
    return free - free % whole;
  }

  // Results were taken; an element takes so many bytes, arguments and result together.
  void taken(std::uint64_t elements, std::uint64_t bytes_per_element, TimePoint now) noexcept {
    if (fixed_) return;
    taken_ += elements;
    if (taken_ >= size_) {
      if (now - since_ < long_enough) size_ *= 2;
      taken_ = 0;
      since_ = now;
    }
    std::uint64_t const affordable = max_bytes / std::max<std::uint64_t>(1, bytes_per_element);
    size_ = std::clamp(std::min(size_, affordable), min_, max_);
  }

 private:
  bool fixed_;
  std::size_t chunk_;
  std::uint64_t min_;
  std::uint64_t max_;
  std::uint64_t size_;
  std::uint64_t taken_ = 0;  // since this time
  TimePoint since_{};
};

}  // namespace procpool::inline v0::detail
