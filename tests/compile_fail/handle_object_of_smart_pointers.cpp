// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a smart pointer or a handle
#include <memory>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
struct Table {
  int size;
  std::unique_ptr<int> first;
};
procpool::SharedObject<Table> table;
