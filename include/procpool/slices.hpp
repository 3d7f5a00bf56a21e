// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The plain values of parallelize_timed: the time of each slice.

#include <chrono>
#include <cstddef>
#include <vector>

namespace procpool::inline v0_1 {

/// One slice of a parallelize_timed.
struct SliceTiming {
  std::size_t first = 0;            ///< index of its first element
  std::size_t count = 0;            ///< of its elements
  int worker = -1;                  ///< index of the worker that it ran in
  std::chrono::nanoseconds took{};  ///< by the function alone
};

/// The result of parallelize_timed: the values, and the times. No values for void functions.
template <class Values>
struct Timed {
  Values values;                       ///< as of parallelize
  std::vector<SliceTiming> slices;     ///< in order
  std::chrono::nanoseconds elapsed{};  ///< by the whole call, for its caller
};
/// The same of a function that returns nothing.
template <>
struct Timed<void> {
  std::vector<SliceTiming> slices;     ///< in order
  std::chrono::nanoseconds elapsed{};  ///< by the whole call, for its caller
};

}  // namespace procpool::inline v0_1
