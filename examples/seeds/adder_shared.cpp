// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The second remedy for the caveat in adder.cpp: members in memory that all processes share. The
// worker's copy of the object has handles of the same memory. This pays if the data are large, or
// if others want to see them before the function has ended.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <vector>

struct Explained {
  int a, b, sum;
};

struct Adder {
  std::vector<Explained> results;
  procpool::SharedValue<int> calls;
  procpool::SharedArray<double> times;

  Explained explain_sum(int a, int b) const {
    auto const start = std::chrono::steady_clock::now();
    Explained const result{a, b, a + b};
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    times[procpool::this_task::index()] = time.count();  // nobody else writes to this element
    calls.fetch_add(1);
    return result;
  }

  void add(std::vector<int> const& as, std::vector<int> const& bs) {
    procpool::ProcessPool pool{3};
    times = procpool::SharedArray<double>(as.size());
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
  std::cout << "]\n" << adder.calls.load() << " times\n";

  for (double const time : adder.times) std::clog << time << " s\n";  // differ each time
}
