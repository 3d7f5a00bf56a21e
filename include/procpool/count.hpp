// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Count: the type of options that are numbers. Plain values; any thread.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>

#include <procpool/detail/engine/bounds.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// A number of things. Takes any integral type: a negative number is refused with a sentence when
/// it is used, and does not become enormous.
class Count {
 public:
  /// Any number. It is checked when it is used.
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  constexpr Count(I value) noexcept  // NOLINT(google-explicit-constructor): a number is a Count
      : negative_(std::signed_integral<I> && value < I{}),
        value_(static_cast<std::uint64_t>(value)) {}

  /// The number. Throws std::invalid_argument if it is negative.
  PROCPOOL_API std::uint64_t value() const;
  friend constexpr bool operator==(Count const&, Count const&) noexcept = default;
  /// Prints the number.
  friend PROCPOOL_API std::ostream& operator<<(std::ostream& out, Count const& count);

 private:
  friend std::size_t detail::checked(Count const& count, std::string_view what, std::size_t most,
                                     std::size_t least);

  bool negative_;
  std::uint64_t value_;
};

}  // namespace procpool::inline v0_1
