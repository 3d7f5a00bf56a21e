// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: or_else calls its function with the Failure
#include <procpool.hpp>
int number(int x) { return x; }
void use(procpool::ProcessPool& pool) {
  static_cast<void>(pool.submit<number>(1).or_else([](int) { return 0; }));
}
