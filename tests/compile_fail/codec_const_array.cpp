// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: C arrays of more than 256 elements
#include <procpool/detail/codec/codec.hpp>
struct Table {
  int const numbers[1000];
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Table{});
}
