// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a reference
#include <procpool/detail/codec/codec.hpp>
struct Ref {
  int& r;
};
int global;
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Ref{global});
}
