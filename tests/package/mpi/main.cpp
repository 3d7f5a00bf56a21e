// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a stranger writes first with the component mpi. It writes the same with and without a launcher.

#include <cstdio>
#include <procpool.hpp>
#include <procpool/mpi.hpp>

int twice(int x) { return 2 * x; }

int main() {
  procpool::ProcessPool pool{{.engine = procpool::mpi({.workers_per_host = 1})}};
  int const result = pool.call<twice>(21);
  std::printf("%d\n", result);
  return result == 42 ? 0 : 1;
}
