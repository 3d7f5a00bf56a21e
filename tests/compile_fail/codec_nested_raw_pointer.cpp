// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: raw pointer
#include <map>
#include <procpool/detail/codec/codec.hpp>
struct Inner {
  double* p;
};
struct Outer {
  std::map<int, Inner> inner;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Outer{});
}
