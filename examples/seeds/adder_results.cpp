// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The first remedy for the caveat in adder.cpp, and the better one: what shall come back is part of
// the result. The object stays as it is, and nobody has to lock anything.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <vector>

struct Explained {
  int a, b, sum;
  double seconds;
};

struct Adder {
  std::vector<Explained> results;
  std::vector<double> times;

  static Explained explain_sum(int a, int b) {
    auto const start = std::chrono::steady_clock::now();
    int const sum = a + b;
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    return {a, b, sum, time.count()};
  }

  void add(std::vector<int> const& as, std::vector<int> const& bs) {
    procpool::ProcessPool pool{3};
    for (auto const& result : pool.imap<&Adder::explain_sum>(as, bs)) {
      results.push_back(result);
      times.push_back(result.seconds);
    }
  }
};

int main() {
  Adder adder;
  adder.add({1, 2, 3}, {4, 5, 6});

  char const* separator = "[";
  for (auto const& [a, b, sum, seconds] : adder.results) {
    std::cout << separator << "{'a': " << a << ", 'b': " << b << ", 'a+b': " << sum << "}";
    separator = ", ";
  }
  std::cout << "]\n" << adder.times.size() << " times\n";

  for (double const time : adder.times) std::clog << time << " s\n";  // differ each time
}
