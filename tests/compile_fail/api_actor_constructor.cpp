// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the class of this actor has no constructor for these arguments
#include <procpool.hpp>
struct Counter {
  explicit Counter(int first);
};
void use(procpool::ProcessPool& pool) { auto counter = pool.actor<Counter>("text", 2); }
