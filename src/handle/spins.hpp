// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

#include "os/spin_budget.hpp"

namespace procpool::inline v0_1::handle {

// Of all threads of this process that wait for queues and pipes. Any thread.
os::SpinBudget& spins();

}  // namespace procpool::inline v0_1::handle
