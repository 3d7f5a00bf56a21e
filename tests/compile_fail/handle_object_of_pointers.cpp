// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: use boost::interprocess::offset_ptr, or an index
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <utility>
struct Node {
  int value;
  std::pair<int, Node const*> next[2];
};
procpool::SharedObject<Node> first;
