// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: which member of a union
#include <procpool/detail/codec/codec.hpp>
struct Tagged {
  int tag;
  union {
    int number;
    float real;
  };
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Tagged{});
}
