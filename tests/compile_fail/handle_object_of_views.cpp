// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a raw pointer, a reference or a view
#include <boost/interprocess/containers/map.hpp>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <string_view>
using Names =
    boost::interprocess::map<int, std::string_view, std::less<int>,
                             procpool::ObjectAllocator<std::pair<int const, std::string_view>>>;
procpool::SharedObject<Names> names;
