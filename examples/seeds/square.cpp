// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Squares of a few numbers, each of which takes a while.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <thread>

int square(int number) {
  std::this_thread::sleep_for(std::chrono::milliseconds{10});  // simulates some computation
  return number * number;
}

template <class Range>
void print(char const* title, Range const& numbers) {
  std::cout << title;
  char const* separator = "[";
  for (int const number : numbers) {
    std::cout << separator << number;
    separator = ", ";
  }
  std::cout << "]\n";
}

int main() {
  std::cout << "Main process: Using a Pool to square numbers.\n";

  auto const numbers = std::views::iota(0, 10);
  procpool::ProcessPool pool{4};
  auto const results = pool.map<square>(numbers);

  print("Original numbers: ", numbers);
  print("Squared results: ", results);
  std::cout << "Main process: Pool operations complete.\n";
}
