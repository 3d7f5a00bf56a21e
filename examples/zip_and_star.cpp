// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Several ways to give a function its arguments: one range, several ranges side by side, a range of
// tuples, and views that make their elements on the way.

#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <tuple>
#include <vector>

std::size_t length(std::string const& text) { return text.size(); }
double volume(double width, double height, double depth) { return width * height * depth; }
int square(int x) { return x * x; }

int main() {
  procpool::ProcessPool pool{2};
  bool right = true;

  std::vector<std::string> const words{"one", "three", "seventeen"};
  right &= pool.map<length>(words) == std::vector<std::size_t>{3, 5, 9};

  // Zipped: the first elements of all, then the second ones, up to the end of the shortest.
  std::vector<double> const widths{1, 2, 3};
  std::vector<double> const heights{4, 5, 6};
  std::vector<double> const depths{7, 8};
  right &= pool.map<volume>(widths, heights, depths) == std::vector<double>{28, 80};

  // Each tuple holds the arguments of one call.
  std::vector<std::tuple<double, double, double>> const boxes{{1, 1, 1}, {2, 2, 2}, {3, 3, 3}};
  right &= pool.starmap<volume>(boxes) == std::vector<double>{1, 8, 27};

  // Any input range will do.
  auto odd = std::views::iota(1, 10) | std::views::filter([](int x) { return x % 2 == 1; });
  right &= pool.map<square>(odd) == std::vector<int>{1, 9, 25, 49, 81};

  // An overload set or a template has no single address; a lambda names the one that is meant.
  auto const absolute = [](int x) { return std::abs(x); };
  right &= pool.map(absolute, std::vector{-1, 2, -3}) == std::vector{1, 2, 3};

  std::cout << (right ? "all as the plain loops would have it\n" : "something is wrong\n");
  return right ? 0 : 1;
}
