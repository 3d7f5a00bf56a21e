// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: workers
// expect: order
#include <procpool.hpp>
#if defined(__clang__)
#pragma clang diagnostic error "-Wreorder-init-list"
#endif
procpool::PoolOptions const options{.name = "solver", .workers = 4};
