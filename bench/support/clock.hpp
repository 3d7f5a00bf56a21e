// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The clock of all measurements, and tasks of a known length. Any thread, any process.

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <vector>

namespace bench {

inline std::uint64_t now_on(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(time.tv_nsec);
}
inline std::uint64_t now_ns() noexcept { return now_on(CLOCK_MONOTONIC); }

inline double seconds_since(std::uint64_t begin) noexcept {
  return static_cast<double>(now_ns() - begin) / 1e9;
}

// Busy until so much time has passed.
inline void spin(std::uint64_t nanoseconds) noexcept {
  auto const begin = now_ns();
  while (now_ns() - begin < nanoseconds) {
  }
}

// Busy until this thread has used so much CPU: what a neighbour takes away does not count as work.
inline void burn(std::uint64_t nanoseconds) noexcept {
  auto const begin = now_on(CLOCK_THREAD_CPUTIME_ID);
  while (now_on(CLOCK_THREAD_CPUTIME_ID) - begin < nanoseconds) {
  }
}

inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  auto const middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// What a call takes when nobody is in its way: the median of many, in nanoseconds. Spun tasks last
// a little longer than they were asked to (a look at the clock takes time, in every language
// another), and that is work too.
template <class F>
double calibrate(F call, std::uint64_t about_ns) {
  auto const times = std::clamp<std::uint64_t>(20'000'000 / about_ns, 11, 2'001);
  std::vector<double> values;
  for (std::uint64_t i = 0; i < times; ++i) {
    auto const begin = now_ns();
    call();
    values.push_back(static_cast<double>(now_ns() - begin));
  }
  return median(std::move(values));
}

}  // namespace bench
