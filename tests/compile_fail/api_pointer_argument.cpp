// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: it holds a raw pointer
// expect: procpool_argument<1, double
#include <procpool.hpp>
double first(int index, double* numbers);
double use(procpool::ProcessPool& pool, double* numbers) { return pool.call<first>(0, numbers); }
