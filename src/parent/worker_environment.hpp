// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The environment of workers: the program's without the variables of an MPI launcher, with those of
// the options, and with the number of threads for numerical libraries. Workers times threads are at
// most the number of CPUs. Pure functions.

#include <cstddef>
#include <string>
#include <vector>

#include <procpool/options.hpp>

namespace procpool::inline v0_1::parent {

// `program`: "NAME=value" each.
std::vector<std::string> worker_environment(PoolOptions const& options,
                                            std::vector<std::string> program, std::size_t workers);

// The number of workers that a pool begins with. Throws std::invalid_argument if the option, or the
// environment variable, makes no sense.
std::size_t worker_count(PoolOptions const& options);

// Of PlacementOptions::cpus_per_worker. 0: it is not given.
std::size_t cpus_per_worker(PoolOptions const& options);
// The CPUs that the worker at this place is pinned to. Empty: it is not pinned. `usable`: those of
// the program.
std::vector<int> cpus_of_worker(PoolOptions const& options, std::vector<int> const& usable,
                                std::size_t place);

}  // namespace procpool::inline v0_1::parent
