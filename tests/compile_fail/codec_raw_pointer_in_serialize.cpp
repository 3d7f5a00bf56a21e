// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: raw pointer to a fundamental type
#include <procpool/detail/codec/codec.hpp>
struct Text {
  char* text = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & text;
  }
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Text{});
}
