// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: no atomic access without a lock
#include <procpool.hpp>
struct Large {
  long numbers[8];
};
void use(procpool::SharedArray<Large> const& array) { array.atomic(1); }
