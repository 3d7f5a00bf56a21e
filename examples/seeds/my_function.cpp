// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// One function over 200,000 numbers, with four workers. The pool chooses how many numbers travel
// together; the results come back in the order of the inputs.

#include <cstdint>
#include <iostream>
#include <numeric>
#include <procpool.hpp>
#include <ranges>

std::int64_t my_function(std::int64_t x) { return x * x + x - 1; }

int main() {
  // On standard error, because it differs from machine to machine.
  std::clog << "Number of processors = " << procpool::cpu_count() << '\n';

  procpool::ProcessPool pool{4};
  auto const result = pool.map<my_function>(std::views::iota(0, 200'000));

  std::cout << "results: " << result.size() << '\n'
            << "first:   " << result.front() << '\n'
            << "last:    " << result.back() << '\n'
            << "sum:     " << std::accumulate(result.begin(), result.end(), std::int64_t{0})
            << '\n';
}
