// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: type of the standard library
#include <any>
#include <procpool/detail/codec/codec.hpp>
struct Bag {
  std::any thing;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Bag{});
}
