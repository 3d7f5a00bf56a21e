// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Calls once, in the fork server, the functions of other libraries that each worker calls at its
// start. They are bound then. Bound lazily in a worker, each would be looked up in the tables of
// all libraries, and the worker would have to map those pages first. This only saves time.
//
// Called by the fork server, on its only thread, before the first fork.

namespace procpool::inline v0_1::forkserver {

void prebind() noexcept;

}  // namespace procpool::inline v0_1::forkserver
