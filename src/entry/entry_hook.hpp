// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The role of this process: the program, a worker, or a worker that has not reached its entry; and
// whether the program has the entry hook that turns its fresh executions into workers.
//
// Any thread, also during static initialisation.

#include <string_view>

#include <procpool/count.hpp>
#include <procpool/detail/export.hpp>

// For procpool-worker, which has opened the module argv[2] for it: becomes what the mark says.
// Returns the exit status. The mark is taken by then.
extern "C" PROCPOOL_API int procpool_become_worker(int argc, char** argv);

namespace procpool::inline v0_1::entry {

// Throws SetupError, which says what to do, in these cases:
// - The program has more rights than its caller.
// - This process carries the worker mark and has not reached main: a pool that a static initialiser
//   uses must not become a fork bomb.
void check_may_use_pools();

// A fresh execution of the program becomes a worker. If not, it would run its main again.
bool has_entry_hook() noexcept;

// The module that the helper has opened. Null: this process is no worker of the helper.
char const* helper_module() noexcept;

// This process is to become a worker, and has not reached its entry; see mark.hpp.
bool marked() noexcept;

// From a component that is linked with the program, ahead of main: procpool::init calls it, once, in
// a process that is no worker.
PROCPOOL_API void on_start(void (*start)()) noexcept;

// Removes the mark and becomes what the mark says: a worker, or a fork server. A fork server never
// returns from here, but each worker that it forks does. Returns the exit status of the worker when
// the parent needs it no more.
int run_worker(int argc, char** argv);

void set_worker_index(int index) noexcept;

// What a host of a cluster adds to the environment of its workers: its name.
inline constexpr char const* host_variable = "PROCPOOL_HOST";
// In a worker, ahead of its first thread. Takes the variable out of the environment, since pools and
// programs that a task starts are no workers of that host.
void take_host() noexcept;
std::string_view host() noexcept;

// The number of pools above this process: 0 in the program.
void set_depth(unsigned depth) noexcept;
unsigned depth() noexcept;
// Throws SetupError when a pool here would be deeper than that.
void check_depth(Count limit);

}  // namespace procpool::inline v0_1::entry
