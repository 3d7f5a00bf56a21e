// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a thread, a future or a stream
#include <procpool/detail/codec/codec.hpp>
#include <thread>
struct Runner {
  std::thread thread;
};
void use(Runner const& runner) {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, runner);
}
