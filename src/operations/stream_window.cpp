// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>

#include <procpool/detail/operations/stream_window.hpp>

namespace procpool::inline v0_1::detail {

StreamWindow::StreamWindow(std::optional<std::size_t> given, std::size_t chunk, std::size_t workers)
    : fixed_(given.has_value()),
      chunk_(chunk),
      min_(std::max<std::uint64_t>(1, min_per_worker * workers)),
      max_(std::max(max_per_worker * workers, 4 * workers * std::uint64_t{chunk})),
      size_(given ? *given
                  : std::max(begin_per_worker * workers, 2 * workers * std::uint64_t{chunk})) {}

std::uint64_t StreamWindow::refill(std::uint64_t outstanding) const noexcept {
  if (outstanding >= size_) return 0;
  std::uint64_t const free = size_ - outstanding;
  std::uint64_t const whole = std::min<std::uint64_t>(std::max<std::size_t>(chunk_, 1), size_);
  if (free < std::max(size_ / 4, whole)) return 0;
  return free - free % whole;
}

void StreamWindow::taken(std::uint64_t elements, std::uint64_t bytes_per_element,
                         TimePoint now) noexcept {
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

}  // namespace procpool::inline v0_1::detail
