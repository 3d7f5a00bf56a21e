// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: std::variant
#include <procpool/detail/codec/codec.hpp>
union Either {
  int a;
  float b;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Either{});
}
