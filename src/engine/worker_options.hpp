// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The checks of the options that a worker of a pool and a Process have in common. Pure.

#include <map>
#include <string>

#include <procpool/options.hpp>

namespace procpool::inline v0_1 {

// Throws std::invalid_argument for a name, limits or an environment that make no sense. `type`: of
// the options, as the user wrote them.
void check_worker_options(PoolOptions const& options, char const* type);

// The same for variables alone. `what`: the option.
void check_environment(std::map<std::string, std::string> const& environment,
                       std::string const& what);

}  // namespace procpool::inline v0_1
