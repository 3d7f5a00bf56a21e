// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: Use std::vector
#include <procpool/detail/codec/codec.hpp>

void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, std::unique_ptr<int[]>());
}
