#pragma once

// How far the stack of the calling thread reaches. A thread's own stack is asked for once, which costs
// the main thread a look at /proc/self/maps; nothing is kept for other stacks (of fibers, of signals).
// Any thread may call. Nothing is left behind.

#include <cstdint>
#include <optional>

namespace procpool::inline v0::os {

struct Stack {
  std::uintptr_t begin = 0;  // the lowest address
  std::uintptr_t end = 0;
};

// The calling thread's own stack, if that can be found out. That of the main thread follows the limit
// of the process: `again` looks whether it has changed.
std::optional<Stack> own_stack(bool again = false);

// The memory around an address, which on a stack with a guard below it is the stack.
std::optional<Stack> mapping_around(std::uintptr_t address);

}  // namespace procpool::inline v0::os
