// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool::core leaves main alone: the program calls init itself.

#include <unistd.h>

#include <procpool.hpp>

static pid_t whose(int) { return getpid(); }

int main(int argc, char** argv) {
  procpool::init(argc, argv);
  procpool::ProcessPool pool{1};
  return pool.call<whose>(0) != getpid() ? 0 : 1;
}
