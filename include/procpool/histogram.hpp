// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Histogram: how many durations were how long. A plain value.

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// Counts durations in fixed buckets, four for each doubling from 256 ns to 73 minutes. So a
/// quantile is wrong by a fifth of its value at most, within these bounds. A value: as safe as an int.
class Histogram {
 public:
  using Duration = std::chrono::nanoseconds;  ///< of what is counted

  /// The number of buckets. The first has all that is shorter, and the last all that is longer.
  static constexpr std::size_t buckets = 138;

  /// Durations of this bucket are shorter than this, and those of the next one are not. Of the last
  /// bucket: Duration::max(). Throws std::out_of_range unless there is such a bucket.
  PROCPOOL_API static Duration bound(std::size_t bucket);

  /// Counts a duration so many times. One below zero counts as zero.
  void add(Duration duration, std::uint64_t times = 1) noexcept {
    constexpr std::uint64_t most = std::uint64_t{1} << 62;  // of the sum, which stays there
    auto const length = duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
    counts_[bucket_of(length)] += times;
    count_ += times;
    sum_ = length != 0 && times > (most - sum_) / length ? most : sum_ + length * times;
  }
  /// Adds the durations of another histogram.
  PROCPOOL_API Histogram& operator+=(Histogram const& other) noexcept;

  /// How many durations were counted.
  std::uint64_t count() const noexcept { return count_; }
  /// How many of them are in this bucket. Throws std::out_of_range unless there is such a bucket.
  std::uint64_t count(std::size_t bucket) const { return counts_.at(bucket); }
  /// All of them together, at most 146 years.
  Duration sum() const noexcept { return Duration(static_cast<Duration::rep>(sum_)); }
  /// Their mean. Zero if there are none.
  PROCPOOL_API Duration mean() const noexcept;
  /// This part of them is shorter, as far as the buckets tell: quantile(0.99). Zero if there are
  /// none. Throws std::invalid_argument unless the part is from 0 to 1.
  PROCPOOL_API Duration quantile(double part) const;

  bool operator==(Histogram const&) const = default;

 private:
  static constexpr int first_bit = 8;  // of the shortest duration that is told from shorter ones

  static constexpr std::size_t bucket_of(std::uint64_t length) noexcept {
    int const bit = static_cast<int>(std::bit_width(length)) - 1;
    if (bit < first_bit) return 0;
    auto const quarter = static_cast<std::size_t>(length >> (bit - 2)) & 3U;
    std::size_t const bucket = static_cast<std::size_t>(bit - first_bit) * 4 + quarter + 1;
    return bucket < buckets ? bucket : buckets - 1;
  }

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace procpool::inline v0_1
