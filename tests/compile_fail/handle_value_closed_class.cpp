// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: declare the type procpool::as_bytes
#include <procpool.hpp>
class Point {
 public:
  int x() const { return x_; }

 private:
  int x_ = 0;
};
procpool::SharedValue<Point> point;
