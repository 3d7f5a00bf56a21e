// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What the workers run; see tasks.hpp.

#include "procpool/tasks.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "support/clock.hpp"
#include "support/measure.hpp"

namespace bench {
namespace {

// Of each worker: one that was spawned runs static initialisers of its own, the others are forked.
pid_t self = getpid();
[[maybe_unused]] int const followed = pthread_atfork(nullptr, nullptr, [] { self = getpid(); });

}  // namespace

pid_t empty() { return self; }
pid_t empty_of(std::uint32_t) { return self; }
std::uint64_t polynomial_of(std::uint64_t x) { return sign(self, polynomial(x)); }

pid_t spin_for(std::uint32_t nanoseconds) {
  spin(nanoseconds);
  return self;
}

pid_t burn_for(std::uint32_t nanoseconds) {
  burn(nanoseconds);
  return self;
}

std::uint64_t sleep_for_2ms(std::uint64_t x) {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return polynomial_of(x);
}

pid_t meet(Place place) {
  gather(place);
  return self;
}

pid_t die() {
  raise(SIGKILL);
  return self;
}

pid_t fail(std::uint32_t) { throw std::out_of_range("no such element"); }

std::uint64_t sum_of_pages(std::vector<std::uint64_t> const& values) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); i += 4096 / sizeof values[0]) sum += values[i];
  return sum;
}

Seen look_at(std::vector<std::uint64_t> const& values) { return {self, sum_of_pages(values)}; }

std::vector<std::uint64_t> make_vector(std::uint64_t bytes) {
  auto const begin = now_ns();
  std::vector<std::uint64_t> values(bytes / sizeof(std::uint64_t), 1);
  values[0] = static_cast<std::uint64_t>(self);
  values[1] = now_ns() - begin;
  return values;
}

}  // namespace bench
