// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: no default constructor
#include <procpool/detail/codec/codec.hpp>
struct Picky {
  explicit Picky(int);
  template <class A>
  void serialize(A&, unsigned) {}
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Picky(1));
}
