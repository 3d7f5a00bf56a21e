// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: it takes another number of them
#include <procpool.hpp>
struct Counter {
  int add(int x);
};
void use(procpool::Actor<Counter>& counter) { counter.call<&Counter::add>(1, 2).get(); }
