#pragma once

// How a process becomes a worker. A worker is another execution of this same program: it is taken over
// after static initialisation and before the program's own main, and never reaches that main.
//
// Programs that link procpool::procpool need nothing of this: the link carries the entry hook. Programs that
// link procpool::core call init() themselves.

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

// First thing in main, before any thread, for programs that link procpool::core. In the program it
// returns at once; in a worker it does not return. Takes main's own arguments.
PROCPOOL_API void init(int argc, char** argv);

// Is this process a worker? May be called from any thread, also during static initialisation.
PROCPOOL_API bool in_worker() noexcept;

// The index of this worker in its pool: 0 to size - 1, taken over by its replacement. -1 in the program.
PROCPOOL_API int worker_index() noexcept;

}  // namespace procpool::inline v0
