// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: PoolOptions
#include <procpool.hpp>
procpool::ProcessPool pool{{.lifetime = {.max_task = 5}}};
