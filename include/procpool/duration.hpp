#pragma once

// Times as options are given them. Values; any thread.

#include <chrono>
#include <type_traits>

namespace procpool::inline v0 {

/// A time in this unit, made of a std::chrono::duration of any: what is longer than it can hold is as long as it
/// can hold, which is for ever; a fraction of the unit counts as a whole one, and no number as nothing.
template <class Unit>
class Saturating : public Unit {
 public:
  constexpr Saturating() noexcept : Unit(Unit::zero()) {}
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
      // As it comes, for what a Unit cannot hold. The last value below is next to what it can.
      using Units = std::chrono::duration<long double, typename Unit::period>;
      Units const units = time;
      if (units >= Units(Unit::max())) return Unit::max();
      if (units <= Units(Unit::min())) return Unit::min();
      if (units.count() != units.count()) return Unit::zero();
      return std::chrono::ceil<Unit>(time);
    }
  }
};

using Milliseconds = Saturating<std::chrono::milliseconds>;
using Seconds = Saturating<std::chrono::seconds>;

}  // namespace procpool::inline v0
