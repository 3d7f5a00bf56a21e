// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a callable for an actor takes the actor's object first
#include <procpool.hpp>
struct Counter {
  int sum = 0;
};
void use(procpool::Actor<Counter>& counter) {
  counter.call([](int x) { return x; }, 5).get();
}
