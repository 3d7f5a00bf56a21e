// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this pool is gone at the end of the expression
// expect: give the pool a name
#include <procpool.hpp>
auto view() { return procpool::ProcessPool(2).with({.chunk = 64}); }
