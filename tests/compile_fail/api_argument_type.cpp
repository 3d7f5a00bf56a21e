// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: they do not convert to its parameters
#include <procpool.hpp>
#include <string>
int length(std::string const& text);
int use(procpool::ProcessPool& pool) { return pool.call<length>(std::optional<int>(3)); }
