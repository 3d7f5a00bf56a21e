// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/call_seeds.hpp"

#include <random>

namespace procpool::inline v0_1 {

void CallSeeds::seed(detail::Task& task) {
  if (task.random() != 0) return;
  if (!seed_) seed_ = random_seed();
  constexpr std::uint64_t of_names = 0x6e616d6573;  // apart from all numbered calls
  auto const name = task.random_name();
  task.set_random(name ? mix(mix(*seed_ ^ of_names) + *name) : mix(mix(*seed_) + calls_++));
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace procpool::inline v0_1
