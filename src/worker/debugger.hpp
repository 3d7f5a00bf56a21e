// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The stop for a debugger in a worker. PROCPOOL_WAIT_FOR_DEBUGGER in the environment names a
// function of tasks, as `ps` shows it or without its namespaces; `*` is any function. A worker that
// is about to run it for the first time says so on standard error, and waits until a debugger
// traces it. A worker whose program ends meanwhile ends as always.
//
// The main thread only.

#include <string_view>

namespace procpool::inline v0_1::worker {

void wait_for_debugger(std::string_view function);

}  // namespace procpool::inline v0_1::worker
