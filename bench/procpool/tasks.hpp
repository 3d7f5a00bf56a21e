// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What the workers run. Every result carries the process that made it.

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "support/gathering.hpp"

namespace bench {

inline constexpr char const* ours = "procpool";
inline constexpr int two = 2;  // workers where a number is compared

pid_t empty();
pid_t empty_of(std::uint32_t);
std::uint64_t polynomial_of(std::uint64_t x);
pid_t spin_for(std::uint32_t nanoseconds);
pid_t burn_for(std::uint32_t nanoseconds);
std::uint64_t sleep_for_2ms(std::uint64_t x);
pid_t meet(Place place);
pid_t die();
pid_t fail(std::uint32_t);  // throws

// What a worker saw of a vector: a word of each page.
struct Seen {
  pid_t maker;
  std::uint64_t sum;
};
Seen look_at(std::vector<std::uint64_t> const& values);
std::uint64_t sum_of_pages(std::vector<std::uint64_t> const& values);

// A new vector of so many bytes: who made it, the nanoseconds that this took, and then ones.
std::vector<std::uint64_t> make_vector(std::uint64_t bytes);

}  // namespace bench
