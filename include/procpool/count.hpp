#pragma once

// Count: how options take numbers of things, and the most that is taken for each. Plain values.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

// A number of things. Takes any integral type, so that a negative one is seen as such and refused where
// it is used, with a sentence, instead of becoming enormous.
class Count {
 public:
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  constexpr Count(I value) noexcept  // NOLINT(google-explicit-constructor): a number is a Count
      : negative_(std::signed_integral<I> && value < I{}),
        value_(static_cast<std::uint64_t>(value)) {}

  // The value if it lies in [1, most]; otherwise throws std::invalid_argument that names `what`.
  PROCPOOL_API std::size_t checked(std::string_view what, std::size_t most) const;

 private:
  bool negative_;
  std::uint64_t value_;
};

// The most that is taken for a number by an option.
inline constexpr std::size_t max_workers = 4096;
inline constexpr std::size_t max_chunk = std::size_t{1} << 20;
inline constexpr std::size_t max_window = std::size_t{1} << 30;
inline constexpr std::size_t max_slices = std::size_t{1} << 30;
inline constexpr std::size_t max_retries = 1'000'000;
inline constexpr std::size_t max_queue_limit = std::size_t{1} << 40;
inline constexpr std::size_t max_nesting = 64;
inline constexpr std::size_t max_output = std::size_t{1} << 30;
inline constexpr std::size_t max_tasks_per_worker = std::size_t{1} << 40;

}  // namespace procpool::inline v0
