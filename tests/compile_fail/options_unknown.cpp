// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: max_task
#include <procpool.hpp>
procpool::LifetimeOptions const options{.max_task = 5};
