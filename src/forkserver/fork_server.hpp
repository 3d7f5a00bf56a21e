#pragma once

// The template of Start::forkserver: a fresh execution of the program that has run static initialisation
// and then does nothing but fork workers and bury them, by order of the dispatcher. It never runs a task,
// and has one thread whenever it forks, so its forks are those of a process in which no lock is held.
//
// Threat model: the workers are its children and share nothing else with it: none of its descriptors, and no
// memory that is written. A worker can kill it, as any process of the same user can: that costs no task,
// see Forkserver.
//
// A death of the template at any point leaves its workers to whoever adopts orphans; they go on, since they
// watch the program. When the program ends, the template ends what may be left of its workers, and itself.

#include "worker/worker_main.hpp"

namespace procpool::inline v0::forkserver {

// On the main thread, with the worker mark already off the environment; returns in each new worker, with what
// worker::worker_main needs, and never in the template itself. `title`: null, or the argument that names the process.
worker::WorkerStart fork_server_main(char* title);

}  // namespace procpool::inline v0::forkserver
