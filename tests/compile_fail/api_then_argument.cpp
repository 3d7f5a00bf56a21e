// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this continuation can be called neither with the value of the future
#include <procpool.hpp>
int number(int x) { return x; }
void use(procpool::ProcessPool& pool) {
  static_cast<void>(pool.submit<number>(1).then([](std::vector<int> const&) {}));
}
