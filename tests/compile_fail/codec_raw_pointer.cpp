// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: raw pointer
#include <procpool/detail/codec/codec.hpp>
struct Holder {
  int n;
  char const* text;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Holder{});
}
