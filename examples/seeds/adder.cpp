// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A caveat of all process pools: the object that a member function is called on travels to the
// worker as a copy. The object here does not see a change of the copy.
//
// Three remedies: adder_results.cpp returns what shall come back, adder_shared.cpp has the member in
// memory that all processes share, and in adder_actor.cpp the object stays where it is.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <vector>

struct Explained {
  int a, b, sum;
};

struct Adder {
  std::vector<Explained> results;
  // Changed by a const member function, hence mutable. Where the function is not const, procpool
  // refuses to compile the call, and says that the change would be lost.
  mutable std::vector<double> times;

  Explained explain_sum(int a, int b) const {
    auto const start = std::chrono::steady_clock::now();
    Explained const result{a, b, a + b};
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());  // in the worker's copy
    return result;
  }

  void add(std::vector<int> const& as, std::vector<int> const& bs) {
    procpool::ProcessPool pool{3};
    results = pool.map(procpool::bind_front<&Adder::explain_sum>(*this), as, bs);
  }
};

int main() {
  Adder adder;
  adder.add({1, 2, 3}, {4, 5, 6});

  char const* separator = "[";
  for (auto const& [a, b, sum] : adder.results) {
    std::cout << separator << "{'a': " << a << ", 'b': " << b << ", 'a+b': " << sum << "}";
    separator = ", ";
  }
  std::cout << "]\n";

  std::cout << '[';
  for (double const time : adder.times) std::cout << time << ' ';
  std::cout << "]\n";  // empty: the member was not changed here
}
