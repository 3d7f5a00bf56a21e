// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A task that makes the best of its time: it is asked to stop when its timeout is over, and returns
// what it has by then. Its worker lives on.

#include <unistd.h>
#include <iostream>
#include <procpool.hpp>

namespace {

using namespace std::chrono_literals;

struct Estimate {
  double value;
  std::uint64_t samples;
  pid_t worker;
};

// Pi, by throwing darts until somebody wants to know.
Estimate estimate_pi() {
  auto random = procpool::this_task::random();
  std::uniform_real_distribution<double> place(-1, 1);
  std::uint64_t inside = 0;
  std::uint64_t samples = 0;
  while (!procpool::this_task::stop_requested()) {
    double const x = place(random);
    double const y = place(random);
    inside += x * x + y * y < 1 ? 1 : 0;
    ++samples;
  }
  return {4.0 * static_cast<double>(inside) / static_cast<double>(samples), samples, ::getpid()};
}

}  // namespace

int main() {
  procpool::ProcessPool pool{{.workers = 1, .seed = 1}};
  Estimate const quick = pool.with({.timeout = 50ms}).call<&estimate_pi>();
  Estimate const thorough = pool.with({.timeout = 500ms}).call<&estimate_pi>();
  std::cout << "more samples in more time: " << std::boolalpha << (thorough.samples > quick.samples)
            << '\n'
            << "about pi: " << (thorough.value > 3.1 && thorough.value < 3.2) << '\n'
            << "the same worker: " << (thorough.worker == quick.worker) << '\n';
}
