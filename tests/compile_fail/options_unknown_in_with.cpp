// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: CallOptions
#include <procpool.hpp>
auto view(procpool::ProcessPool& pool) { return pool.with({.chnk = 5}); }
