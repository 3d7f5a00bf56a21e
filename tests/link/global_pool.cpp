// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pool that is a global: made before main in the program and in every worker, used in main, ended
// by its destructor after main.

#include <unistd.h>

#include <procpool.hpp>

procpool::ProcessPool pool{2};

static pid_t whose(int) { return getpid(); }

int main() { return pool.call<whose>(0) != getpid() ? 0 : 1; }
