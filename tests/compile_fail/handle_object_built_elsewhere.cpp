// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: returns a reference to the T that it has made
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
auto const number = procpool::share_object<int>(1000, [](auto& build) {
  return *build.template construct<int>(boost::interprocess::anonymous_instance)(5);
});
