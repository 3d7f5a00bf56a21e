// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a mutex
#include <mutex>
#include <procpool/detail/codec/codec.hpp>
struct Locked {
  std::unique_ptr<std::mutex> m;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Locked{});
}
