// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: Use std::string or std::vector
#include <procpool/detail/codec/codec.hpp>
struct Named {
  std::string_view name;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Named{});
}
