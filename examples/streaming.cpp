// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Streams: inputs without an end, read as the results are taken; results in order, or as they come.

#include <iostream>
#include <procpool.hpp>
#include <ranges>

struct Number {
  long value;
  bool prime;
};

Number examine(long n) {
  for (long divisor = 2; divisor * divisor <= n; ++divisor) {
    if (n % divisor == 0) return {n, false};
  }
  return {n, n > 1};
}

int main() {
  procpool::ProcessPool pool{2};

  // All numbers there are. Leaving the loop ends the reading and cancels what was read ahead.
  int found = 0;
  for (auto const [value, prime] : pool.imap<examine>(std::views::iota(1'000'000L))) {
    if (!prime) continue;
    std::cout << value << '\n';
    if (++found == 3) break;
  }

  // At most 8 inputs are under way: each could be large. Results have the index of their input.
  long sum = 0;
  std::size_t indices = 0;
  auto const inputs = std::views::iota(1L, 101L);
  for (auto const& [index, number] : pool.with({.window = 8}).imap_unordered<examine>(inputs)) {
    indices += index;
    if (number.prime) sum += number.value;
  }
  std::cout << "the primes below 100 add up to " << sum << ", the indices to " << indices << '\n';
}
