// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The one way in which a time to wait is added to a point in time: what is too long to be told from
// for ever ends never, and nothing overflows, whatever the duration is counted in. Pure; any
// thread.

#include <chrono>
#include <optional>

namespace procpool::inline v0_1::detail {

using TimePoint = std::chrono::steady_clock::time_point;

// When `wait` is over; TimePoint::max(): never. Of nothing, less, and no number, it is over at
// once.
template <class Rep, class Period>
constexpr TimePoint later(TimePoint from, std::chrono::duration<Rep, Period> wait) {
  using Seconds = std::chrono::duration<double>;
  // As they come, for what a TimePoint cannot hold; an hour is left for the rounding.
  Seconds const seconds = wait;
  Seconds const left = Seconds(TimePoint::max().time_since_epoch()) -
                       Seconds(from.time_since_epoch()) - std::chrono::hours(1);
  if (!(seconds.count() > 0)) return from;
  if (seconds >= left) return TimePoint::max();
  return from + std::chrono::ceil<TimePoint::duration>(wait);
}

// `wait` from now; nothing: never.
template <class Rep, class Period>
std::optional<TimePoint> deadline_after(std::chrono::duration<Rep, Period> wait) {
  TimePoint const end = later(std::chrono::steady_clock::now(), wait);
  return end == TimePoint::max() ? std::nullopt : std::optional(end);
}

}  // namespace procpool::inline v0_1::detail
