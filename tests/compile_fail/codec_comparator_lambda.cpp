// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the comparator or hash of a container is part of its value
#include <procpool/detail/codec/codec.hpp>
void use(int modulus) {
  procpool::detail::Bytes out;
  auto const order = [modulus](int a, int b) { return a % modulus < b % modulus; };
  procpool::detail::encode(out, std::map<int, int, decltype(order)>(order));
}
