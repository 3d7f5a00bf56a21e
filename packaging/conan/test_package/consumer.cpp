// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The program of every consumer here: what a stranger writes first.

#include <procpool.hpp>

int twice(int x) { return 2 * x; }

int main() {
  procpool::ProcessPool pool{2};
  return pool.call<twice>(21) == 42 ? 0 : 1;
}
