// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Job: the part of this process in a job of MPI. Ahead of main, and behind the question whether the
// process is a worker, procpool::init has it taken. A process of rank 0, and one that nobody launched,
// is a client, and goes on. Any other is a host: it serves the client, and never comes back.
//
// A client that was launched begins MPI ahead of main too, although it may never have a pool: the
// others wait for that. At its exit it lets its hosts go.

#include <cstddef>
#include <memory>

#include "cluster/client.hpp"

namespace procpool::inline v0_1::mpijob {

struct Cluster {
  std::shared_ptr<cluster::Client> client;
  std::size_t others = 0;  // hosts that are other processes. Behind them is that of this process
};

// Any thread, after main has begun. Throws SetupError.
Cluster join();

}  // namespace procpool::inline v0_1::mpijob
