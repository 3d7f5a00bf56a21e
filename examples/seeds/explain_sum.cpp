// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Two lists, one function of two arguments: the ranges are zipped, as a loop over zip(as, bs)
// would, and results are there one by one, as with pool.imap.

#include <iostream>
#include <procpool.hpp>
#include <vector>

struct Explained {
  int a, b, sum;
};

Explained explain_sum(int a, int b) { return {a, b, a + b}; }

int main() {
  std::vector<int> const as{1, 2, 3};
  std::vector<int> const bs{4, 5, 6};

  procpool::ProcessPool pool;
  char const* separator = "[";
  for (auto const& [a, b, sum] : pool.imap<explain_sum>(as, bs)) {
    std::cout << separator << "{'a': " << a << ", 'b': " << b << ", 'a+b': " << sum << "}";
    separator = ", ";
  }
  std::cout << "]\n";
}
