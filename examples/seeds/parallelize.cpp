// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The module `parallelize`: a function that takes a slice of a list, run on slices side by side.
//
//   parallelize.parallel(foo, numbers, 6)               pool.with({.slices = 6}).parallelize<foo>(numbers)
//   parallelize.parallel(f, numbers, 6, args=(2,))      ...parallelize<f>(numbers, 2)
//   Completed 'parallel' in 6.2743 secs                 parallelize_timed: timings are data

#include <iostream>
#include <procpool.hpp>
#include <span>
#include <vector>

using Number = unsigned long;

// One value for a slice: the outputs of all slices, as a list in order.
Number foo(std::span<Number const> numbers) {
  Number output = 0;
  for (Number const i : numbers) output = i * i * i * i;
  return output;
}

// A list for a slice: the lists are put together in order, as if one process had made them.
std::vector<Number> powers(std::span<Number const> numbers, int exponent) {
  std::vector<Number> all;
  for (Number const i : numbers) {
    Number power = 1;
    for (int k = 0; k < exponent; ++k) power *= i;
    all.push_back(power);
  }
  return all;
}

int main() {
  std::vector<Number> numbers;
  for (Number i = 0; i < 500; ++i) numbers.push_back(i);
  procpool::ProcessPool pool;

  auto const timed = pool.with({.slices = 6}).parallelize_timed<foo>(numbers);
  for (Number const output : timed.values) std::cout << output << ' ';
  std::cout << "\nslices of";
  for (auto const& slice : timed.slices) std::cout << ' ' << slice.count;
  std::cout << '\n';
  if (timed.elapsed.count() <= 0) return 1;

  auto const cubes = pool.with({.slices = 6}).parallelize<powers>(numbers, 3);
  std::cout << cubes.size() << " cubes, the last one " << cubes.back() << '\n';
}
