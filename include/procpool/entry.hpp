// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How a process becomes a worker. A worker is another execution of this same program. The library
// takes it over after static initialization and before the program's own main, which it never
// reaches.
//
// Programs that link procpool::procpool need none of this: the link carries the entry hook.
// Programs that link procpool::core call init() themselves.

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// The first statement of main, before any thread, in programs that link procpool::core. Takes
/// main's own arguments. Returns at once in the program, and never in a worker.
PROCPOOL_API void init(int argc, char** argv);

/// Is this process a worker? Any thread, also during static initialization. Does not block.
PROCPOOL_API bool in_worker() noexcept;

/// The index of this worker in its pool: 0 to size - 1. A replacement takes it over. -1 in the
/// program. Any thread.
PROCPOOL_API int worker_index() noexcept;

}  // namespace procpool::inline v0_1
