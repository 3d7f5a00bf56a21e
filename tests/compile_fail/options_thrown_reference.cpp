// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: procpool: a type is listed by its name, without const and references
#include <procpool.hpp>
struct Own {};
procpool::CallOptions const options{
    .retries = {.times = 3, .also_on = procpool::thrown<Own const&>()}};
