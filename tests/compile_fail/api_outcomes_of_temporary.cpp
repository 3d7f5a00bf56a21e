// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this pool is gone at the end of the expression
// expect: call outcomes() on that
#include <procpool.hpp>
auto view() { return procpool::ProcessPool(2).outcomes(); }
