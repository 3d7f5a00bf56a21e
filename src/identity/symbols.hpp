// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Names of functions, from the symbol tables in the file of a module. dladdr knows only the
// exported names, of which most programs have none, and takes a lock that is held while
// initialisers of a library run. Any thread may call. A file that is damaged, or is being replaced,
// gives no names; nothing of it is believed unchecked.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "identity/module.hpp"

namespace procpool::inline v0_1::identity {

// Of the functions whose code lies at these offsets of the file, as people write them; empty where
// that is not known, and everywhere if the file is not this build.
std::vector<std::string> function_names(char const* path, BuildId const& build,
                                        std::span<std::uint64_t const> offsets);

}  // namespace procpool::inline v0_1::identity
