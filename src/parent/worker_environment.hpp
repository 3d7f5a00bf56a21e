#pragma once

// The environment that workers get: the program's, without what an MPI launcher told it, with what the options add, and with the number of
// threads that numerical libraries should use, so that workers times threads are not more than there are
// CPUs. A pure function.

#include <cstddef>
#include <string>
#include <vector>

#include <procpool/options.hpp>

namespace procpool::inline v0::parent {

// `program`: "NAME=value" each.
std::vector<std::string> worker_environment(PoolOptions const& options,
                                            std::vector<std::string> program, std::size_t workers);

// How many workers a pool begins with. Throws std::invalid_argument for what makes no sense, also in the
// environment.
std::size_t worker_count(PoolOptions const& options);

}  // namespace procpool::inline v0::parent
