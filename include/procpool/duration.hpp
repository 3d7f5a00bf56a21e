// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The types of options that are times. Values; any thread.

#include <chrono>
#include <optional>
#include <type_traits>

#include <procpool/detail/engine/deadline.hpp>

namespace procpool::inline v0_1 {

/// A time in this unit, made of a std::chrono::duration of any unit. A time that is too long
/// becomes the longest one, which means for ever. A fraction of the unit counts as a whole one, and
/// NaN as zero.
template <class Unit>
class Saturating : public Unit {
 public:
  /// Zero.
  constexpr Saturating() noexcept : Unit(Unit::zero()) {}
  /// The nearest time that this type can hold, see above.
  template <class Rep, class Period>
  constexpr Saturating(  // NOLINT(google-explicit-constructor): any duration is one
      std::chrono::duration<Rep, Period> time)
      : Unit(saturated(time)) {}

 private:
  template <class Rep, class Period>
  static constexpr Unit saturated(std::chrono::duration<Rep, Period> time) {
    if constexpr (std::is_same_v<std::chrono::duration<Rep, Period>, Unit>) {
      return time;
    } else {
      // A long double holds all times that a Unit cannot hold.
      using Units = std::chrono::duration<long double, typename Unit::period>;
      Units const units = time;
      if (units >= Units(Unit::max())) return Unit::max();
      if (units <= Units(Unit::min())) return Unit::min();
      if (units.count() != units.count()) return Unit::zero();
      return std::chrono::ceil<Unit>(time);
    }
  }
};

/// A point in time of an option, of the steady clock or of the system clock. A value; any thread.
class Deadline {
 public:
  /// Of the steady clock.
  template <class Duration>
  constexpr Deadline(  // NOLINT(google-explicit-constructor): a point in time is a deadline
      std::chrono::time_point<std::chrono::steady_clock, Duration> time)
      : time_(since(detail::TimePoint(), time.time_since_epoch())) {}
  /// Of the system clock, as it goes now: a later change of that clock has no effect.
  template <class Duration>
  Deadline(  // NOLINT(google-explicit-constructor)
      std::chrono::time_point<std::chrono::system_clock, Duration> time)
      : time_(since(std::chrono::steady_clock::now(),
                    Precise(time.time_since_epoch()) -
                        Precise(std::chrono::system_clock::now().time_since_epoch()))) {}

  friend constexpr bool operator==(Deadline const&, Deadline const&) noexcept = default;

  /// Of the steady clock. Nothing: never.
  constexpr std::optional<detail::TimePoint> time() const noexcept {
    return time_ == detail::TimePoint::max() ? std::nullopt : std::optional(time_);
  }

 private:
  // Holds all times of all clocks.
  using Precise = std::chrono::duration<long double, std::nano>;

  template <class Rep, class Period>
  static constexpr detail::TimePoint since(detail::TimePoint from,
                                           std::chrono::duration<Rep, Period> time) {
    return detail::later(from, time);
  }

  detail::TimePoint time_;
};

/// A time of an option in milliseconds.
using Milliseconds = Saturating<std::chrono::milliseconds>;
/// A time of an option in seconds.
using Seconds = Saturating<std::chrono::seconds>;

}  // namespace procpool::inline v0_1
