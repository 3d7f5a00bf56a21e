// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: nobody can tell the members
#include <memory>
#include <procpool/detail/codec/codec.hpp>
struct Odd {
  explicit Odd(int);
};
struct Strange {
  std::unique_ptr<int> only_moved;
  Odd odd;
  int& number;
};
void use(Strange const& strange) {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, strange);
}
