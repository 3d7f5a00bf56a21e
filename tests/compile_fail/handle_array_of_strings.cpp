// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: must be plain bytes
#include <procpool.hpp>
#include <string>
procpool::SharedArray<std::string> names(10);
