// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/spins.hpp"

#include <procpool/cpu_count.hpp>

namespace procpool::inline v0_1::handle {

os::SpinBudget& spins() {
  // One CPU is for the thread that is waited for.
  static os::SpinBudget budget(cpu_count() - 1);
  return budget;
}

}  // namespace procpool::inline v0_1::handle
