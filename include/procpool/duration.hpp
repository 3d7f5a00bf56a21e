#pragma once

// The types of options that are times. Values; any thread.

#include <chrono>
#include <type_traits>

namespace procpool::inline v0 {

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

/// A time of an option in milliseconds.
using Milliseconds = Saturating<std::chrono::milliseconds>;
/// A time of an option in seconds.
using Seconds = Saturating<std::chrono::seconds>;

}  // namespace procpool::inline v0
