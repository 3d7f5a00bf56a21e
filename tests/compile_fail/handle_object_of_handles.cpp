// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: give handles as arguments of their own
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
struct Table {
  int size;
  procpool::SharedArray<int> numbers;
};
procpool::SharedObject<Table> table;
