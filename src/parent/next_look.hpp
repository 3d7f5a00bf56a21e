// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// NextLook: the earliest of the times at which somebody has to look again. A value.

#include <algorithm>
#include <optional>

#include <procpool/detail/engine/deadline.hpp>

namespace procpool::inline v0_1::parent {

class NextLook {
 public:
  using TimePoint = detail::TimePoint;

  void at(TimePoint time) { time_ = time_ ? std::min(*time_, time) : time; }
  void at(std::optional<TimePoint> time) {
    if (time) at(*time);
  }
  // Nothing: no look is needed.
  std::optional<TimePoint> time() const noexcept { return time_; }

 private:
  std::optional<TimePoint> time_;
};

}  // namespace procpool::inline v0_1::parent
