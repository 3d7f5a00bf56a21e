// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: virtual functions
#include <procpool/detail/codec/codec.hpp>
struct Shape {
  virtual double area() const;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Shape{});
}
