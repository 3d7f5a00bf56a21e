// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The fork server of Start::forkserver: a fresh execution of the program. It has run static
// initialisation and the preload of the pool, and then only forks workers and reaps them, by order
// of the dispatcher. It never runs a task. It has one thread whenever it forks, so no lock is held
// in a worker that begins.
//
// Threat model: the workers are its children, and share neither descriptors nor written memory with
// it. A worker can kill it, like any process of the same user. That costs no task, see
// ForkServerClient.
//
// If the fork server dies, at any point, its workers go on: they watch the program. When the
// program ends, the fork server ends the workers that are left, and itself.

#include "worker/worker_main.hpp"

namespace procpool::inline v0_1::forkserver {

// Called on the main thread, when the worker mark is already off the environment. Returns in each
// new worker, with the arguments of worker::worker_main, and never in the fork server itself.
// `title`: null, or the argument that names the process.
worker::WorkerStart fork_server_main(char* title);

}  // namespace procpool::inline v0_1::forkserver
