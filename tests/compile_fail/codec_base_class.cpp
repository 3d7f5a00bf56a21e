// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: base classes
#include <procpool/detail/codec/codec.hpp>
struct Base {
  int a;
};
struct Derived : Base {
  int b;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Derived{});
}
