// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: Send its value
#include <atomic>
#include <procpool/detail/codec/codec.hpp>
void use(std::atomic_ref<int> counter) {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, counter);
}
