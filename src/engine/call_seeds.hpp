// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CallSeeds: the numbers from which the random streams of a pool's calls derive.
//
// Its owner guards it.

#include <cstdint>
#include <optional>

#include <procpool/detail/engine/task.hpp>

namespace procpool::inline v0_1 {

class CallSeeds {
 public:
  // Nothing: the seed is drawn with the first call, since a global pool of a fork server is that of
  // many workers.
  explicit CallSeeds(std::optional<std::uint64_t> seed) noexcept : seed_(seed) {}

  // Once for each call, unless another process has done so: by the name of its stream, or else by the
  // number of calls before it.
  void seed(detail::Task& task);

 private:
  std::optional<std::uint64_t> seed_;
  std::uint64_t calls_ = 0;
};

std::uint64_t random_seed();

// The finaliser of SplitMix64, a bijection: every bit of the input changes half of the output's.
std::uint64_t mix(std::uint64_t x) noexcept;

}  // namespace procpool::inline v0_1
