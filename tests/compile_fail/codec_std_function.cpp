// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: what a callable
#include <functional>
#include <procpool/detail/codec/codec.hpp>
struct Later {
  std::function<void()> run;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Later{});
}
