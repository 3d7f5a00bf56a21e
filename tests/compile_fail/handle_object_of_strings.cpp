// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: boost::interprocess::basic_string
#include <boost/interprocess/containers/vector.hpp>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <string>
using Names = boost::interprocess::vector<std::string, procpool::ObjectAllocator<std::string>>;
procpool::SharedObject<Names> names;
