// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// parallelize: a function that takes a slice of the input. And a sum over a range of integers.

#include <cmath>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <span>
#include <vector>

std::vector<double> roots(std::span<int const> numbers, double scale) {
  std::vector<double> result;
  for (int const number : numbers) result.push_back(scale * std::sqrt(number));
  return result;
}

std::size_t count(std::vector<int> const& numbers) { return numbers.size(); }

double term(long k) { return (k % 2 == 0 ? 4.0 : -4.0) / static_cast<double>(2 * k + 1); }
double add(double a, double b) { return a + b; }

int main() {
  procpool::ProcessPool pool{2};
  std::vector<int> const numbers{0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100};

  // Vectors are put together in order; arguments behind the slice go to every worker once.
  for (double const root : pool.parallelize<roots>(numbers, 10.0)) std::cout << root << ' ';
  std::cout << '\n';

  // Single values become a list. Slices differ by at most one element.
  for (std::size_t const size : pool.with({.slices = 4}).parallelize<count>(numbers)) {
    std::cout << size << ' ';
  }
  std::cout << '\n';

  // Where the time went, as data.
  auto const timed = pool.parallelize_timed<roots>(numbers, 1.0);
  std::cout << timed.values.size() << " values from " << timed.slices.size() << " slices\n";

  // Put together in order, in the workers.
  double const pi = pool.parallelize_reduce<term, add>(0L, 1'000'000L, 0.0);
  std::cout << (std::abs(pi - 3.14159) < 1e-5 ? "pi\n" : "not pi\n");
}
