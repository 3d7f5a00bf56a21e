#pragma once

// What this process is: the program, a worker, or a worker that has not reached its entry; and whether
// the program has the hook that turns its fresh executions into workers.
//
// Any thread, also during static initialisation.

#include <procpool/count.hpp>

namespace procpool::inline v0::entry {

// Throws SetupError with what to do: when the program has more rights than its caller, when it carries no hook, so that a "worker" would run its
// main again, and in a process that carries the worker mark and has not reached main, so that a pool
// used by a static initialiser never becomes a fork bomb.
void check_exit_handler();

// This process is to become a worker, and has not reached its entry, see mark.hpp.
bool marked() noexcept;

// Takes the mark off and becomes what it says: a worker, or a template, which this never returns in, but in
// the workers that it forks. Returns the worker's exit status, when the parent needs it no more.
int run_worker(int argc, char** argv);

void set_worker_index(int index) noexcept;

// How many pools this process lies below: 0 in the program.
void set_depth(unsigned depth) noexcept;
unsigned depth() noexcept;
// Throws SetupError when a pool here would be deeper than that.
void check_depth(Count limit);

}  // namespace procpool::inline v0::entry
