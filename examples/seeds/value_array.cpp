// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Value and Array: memory that both processes share. A task that takes a std::span need not know.
//
//   num = Value('d', 0.0)              procpool::SharedValue<double> num(0.0);
//   arr = Array('i', range(10))        procpool::SharedArray<int> arr(10);  then fill it

#include <iomanip>
#include <iostream>
#include <numeric>
#include <procpool.hpp>
#include <span>

void f(procpool::SharedValue<double> const& n, std::span<int> a) {
  n.store(3.1415927);
  for (int& number : a) number = -number;
}

int main() {
  procpool::SharedValue<double> const num(0.0);
  procpool::SharedArray<int> const arr(10);
  std::iota(arr.begin(), arr.end(), 0);

  procpool::Process p{f, num, arr};
  p.join();

  std::cout << std::setprecision(8) << num.load() << '\n';
  char const* separator = "[";
  for (int const number : arr) {
    std::cout << separator << number;
    separator = ", ";
  }
  std::cout << "]\n";
}
