// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A function of two arguments whose second one is always the same: bind_back, as partial(f, a=2).

#include <iostream>
#include <procpool.hpp>
#include <ranges>

int my_function(int x, int a) { return x * x + x - a; }

int main() {
  procpool::ProcessPool pool{4};
  auto const my_function_a = procpool::bind_back(my_function, 2);
  auto const result = pool.map(my_function_a, std::views::iota(1, 17));

  std::cout << "result = ";
  char const* separator = "[";
  for (int const value : result) {
    std::cout << separator << value;
    separator = ", ";
  }
  std::cout << "]\n";
}
