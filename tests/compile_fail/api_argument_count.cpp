// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: another number of them
#include <procpool.hpp>
int add(int a, int b);
int use(procpool::ProcessPool& pool) { return pool.submit<add>(1).get(); }
