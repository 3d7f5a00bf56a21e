// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: use boost::interprocess::map
#include <map>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
procpool::SharedObject<std::map<int, int>> table;
