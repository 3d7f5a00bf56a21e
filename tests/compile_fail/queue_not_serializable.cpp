// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: not_serializable<Item
#include <procpool.hpp>
struct Item {
  int* number;
};
void use() { procpool::Queue<Item> const queue; }
