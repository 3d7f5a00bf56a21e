// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: more than 104 members
// expect: as_bytes<T>
#include <procpool/detail/codec/codec.hpp>
#define EIGHT(p) int p##0, p##1, p##2, p##3, p##4, p##5, p##6, p##7;
struct Wide {
  EIGHT(a)
  EIGHT(b)
  EIGHT(c)
  EIGHT(d) EIGHT(e) EIGHT(f) EIGHT(g) EIGHT(h) EIGHT(i) EIGHT(j) EIGHT(k) EIGHT(l) EIGHT(m) EIGHT(n)
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Wide{});
}
