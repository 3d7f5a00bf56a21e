#pragma once

// On which CPUs this process may run. Any thread.

namespace procpool::inline v0::os {

bool may_run_on(int cpu);

}  // namespace procpool::inline v0::os
