// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The bounds of the stack of the calling thread. They are asked for once per thread, which costs
// the main thread a look at /proc/self/maps. Nothing is kept for other stacks (of fibers, of
// signals). Any thread may call.

#include <cstdint>
#include <optional>

namespace procpool::inline v0_1::os {

struct Stack {
  std::uintptr_t begin = 0;  // the lowest address
  std::uintptr_t end = 0;
};

// The own stack of the calling thread, if it can be found out. The stack of the main thread follows
// the limit of the process: `again` looks whether the limit has changed.
std::optional<Stack> own_stack(bool again = false);

// The mapping around an address. On a stack with a guard below it, the mapping is the stack.
std::optional<Stack> mapping_around(std::uintptr_t address);

}  // namespace procpool::inline v0_1::os
