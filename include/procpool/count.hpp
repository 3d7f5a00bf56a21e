#pragma once

// Count: the type of options that are numbers, and the largest number for each of them. Plain
// values; any thread.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

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

  /// The value if it lies in [1, most]. Otherwise throws std::invalid_argument that names `what`.
  PROCPOOL_API std::size_t checked(std::string_view what, std::size_t most) const;

 private:
  bool negative_;
  std::uint64_t value_;
};

/// The largest PoolOptions::workers.
inline constexpr std::size_t max_workers = 4096;
/// The largest CallOptions::chunk.
inline constexpr std::size_t max_chunk = std::size_t{1} << 20;
/// The largest CallOptions::window.
inline constexpr std::size_t max_window = std::size_t{1} << 30;
/// The largest CallOptions::slices.
inline constexpr std::size_t max_slices = std::size_t{1} << 30;
/// The largest Retries::times.
inline constexpr std::size_t max_retries = 1'000'000;
/// The largest PoolOptions::queue_limit.
inline constexpr std::size_t max_queue_limit = std::size_t{1} << 40;
/// The largest PoolOptions::nesting_limit.
inline constexpr std::size_t max_nesting = 64;
/// The largest PoolOptions::output_limit.
inline constexpr std::size_t max_output = std::size_t{1} << 30;
/// The largest PoolOptions::max_tasks_per_worker.
inline constexpr std::size_t max_tasks_per_worker = std::size_t{1} << 40;

}  // namespace procpool::inline v0
