// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a reduction has one result, and outcomes() gives one for each element
#include <procpool.hpp>
int square(int x) { return x * x; }
int add(int a, int b) { return a + b; }
int use(procpool::ProcessPool& pool) {
  return pool.outcomes().parallelize_reduce<square, add>(0, 10, 0);
}
