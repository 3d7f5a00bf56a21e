// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: Send it behind a std::unique_ptr
#include <atomic>
#include <procpool/detail/codec/codec.hpp>
struct Counter {
  std::atomic<int> n;
};
void use(Counter const& counter) {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, counter);
}
