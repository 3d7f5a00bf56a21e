// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// For programs that cannot have their main wrapped: link procpool::core and call procpool::init
// first thing in main. In a worker it does not return.

#include <iostream>
#include <procpool.hpp>

int twice(int x) { return 2 * x; }

int main(int argc, char** argv) {
  procpool::init(argc, argv);  // before anything that a worker shall not do, and before any thread

  std::cout << "only the program comes here\n";
  procpool::ProcessPool pool{2};
  int const result = pool.call<twice>(21);
  std::cout << result << '\n';
  return result == 42 ? 0 : 1;
}
