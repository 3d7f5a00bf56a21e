// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a function pointer is not a value
#include <procpool/detail/codec/codec.hpp>
struct Callback {
  void (*f)(int);
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Callback{});
}
