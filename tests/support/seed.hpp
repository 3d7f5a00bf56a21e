// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A seed for tests that do things at random: printed, and taken from TEST_SEED to have it again.

#include <cstdlib>
#include <iostream>
#include <random>

namespace support {

inline unsigned new_seed() {
  char const* const given = std::getenv("TEST_SEED");
  unsigned const seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : std::random_device()();
  std::cout << "seed " << seed << std::endl;
  return seed;
}

}  // namespace support
