// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a constructor with arguments and none without
#include <procpool/detail/codec/codec.hpp>
struct Point {
  Point(int a, int b) : x(a), y(b) {}
  int x, y;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Point{1, 2});
}
