#pragma once

// The environment that workers get: the program's, with what the options add, and with the number of
// threads that numerical libraries should use, so that workers times threads are not more than there are
// CPUs. A pure function.

#include <cstddef>
#include <string>
#include <vector>

#include <procpool/options.hpp>

namespace procpool::inline v0::local {

// `program`: "NAME=value" each.
std::vector<std::string> worker_environment(PoolOptions const& options,
                                            std::vector<std::string> program, std::size_t workers);

}  // namespace procpool::inline v0::local
