// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
struct Counter {
  int sum = 0;
};
void use(procpool::Actor<Counter>& counter, int n) {
  counter.call([n](Counter& object) { object.sum += n; }).get();
}
