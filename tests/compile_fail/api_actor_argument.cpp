// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: an Actor is called by the program that made it
#include <procpool.hpp>
struct Counter {
  int add(int x) { return x; }
};
void watch(procpool::Actor<Counter> counter);
void use(procpool::ProcessPool& pool, procpool::Actor<Counter> counter) {
  pool.submit<watch>(std::move(counter)).get();
}
