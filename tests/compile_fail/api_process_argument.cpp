// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a Process is joined and signalled by the program that made it
#include <procpool.hpp>
void watch(procpool::Process<int> process);
void use(procpool::ProcessPool& pool, procpool::Process<int> process) {
  pool.submit<watch>(std::move(process)).get();
}
