// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: finally calls its function without arguments
#include <procpool.hpp>
int number(int x) { return x; }
void use(procpool::ProcessPool& pool) {
  static_cast<void>(pool.submit<number>(1).finally([](int) {}));
}
