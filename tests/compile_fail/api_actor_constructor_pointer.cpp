// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: it holds a raw pointer
#include <procpool.hpp>
struct Counter {
  explicit Counter(int* first);
};
void use(procpool::ProcessPool& pool, int* first) { auto counter = pool.actor<Counter>(first); }
