// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: must mean the same in every process
#include <procpool.hpp>
struct Node {
  int value;
  Node* next;
};
procpool::SharedArray<Node> nodes(10);
