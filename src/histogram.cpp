// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/histogram.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace procpool::inline v0_1 {

Histogram::Duration Histogram::bound(std::size_t bucket) {
  if (bucket >= buckets) {
    throw std::out_of_range("procpool: a histogram has " + std::to_string(buckets) +
                            " buckets, and none with number " + std::to_string(bucket));
  }
  if (bucket == buckets - 1) return Duration::max();
  if (bucket == 0) return Duration(std::int64_t{1} << first_bit);
  auto const quarters = static_cast<std::int64_t>((bucket - 1) % 4 + 5);
  return Duration(quarters << (static_cast<int>((bucket - 1) / 4) + first_bit - 2));
}

Histogram& Histogram::operator+=(Histogram const& other) noexcept {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ = std::min(sum_ + other.sum_, most);
  return *this;
}

Histogram::Duration Histogram::mean() const noexcept {
  return count_ == 0 ? Duration::zero() : Duration(static_cast<Duration::rep>(sum_ / count_));
}

Histogram::Duration Histogram::quantile(double part) const {
  if (!(part >= 0 && part <= 1)) {
    throw std::invalid_argument("procpool: a quantile is asked for by a part of " +
                                std::to_string(part) + "; it must be from 0 to 1");
  }
  double const wanted = part * static_cast<double>(count_);
  double before = 0;
  Duration from = Duration::zero();
  for (std::size_t i = 0; i < buckets && count_ != 0; ++i) {
    auto const here = static_cast<double>(counts_[i]);
    Duration const to = bound(i);
    if (here != 0 && before + here >= wanted) {
      if (i == buckets - 1) return from;
      double const share = std::max(wanted - before, 0.0) / here;
      return from +
             Duration(static_cast<Duration::rep>(share * static_cast<double>((to - from).count())));
    }
    before += here;
    from = to;
  }
  return Duration::zero();
}

}  // namespace procpool::inline v0_1
