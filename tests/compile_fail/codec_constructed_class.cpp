// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: declares a constructor
#include <procpool/detail/codec/codec.hpp>
class Opaque {
 public:
  Opaque();

 private:
  int x_;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Opaque());
}
