// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this member function changes its object
#include <procpool.hpp>
#include <vector>
struct Counter {
  int count = 0;
  int next() { return ++count; }
};
std::vector<int> use(procpool::ProcessPool& pool, std::vector<Counter>& counters) {
  return pool.map<&Counter::next>(counters);
}
