// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How long a test that goes on and on does so: a moment, or TEST_SECONDS from the environment.

#include <chrono>
#include <cstdlib>

#include "build.hpp"

namespace support {

inline bool long_form() { return std::getenv("TEST_SECONDS") != nullptr; }

inline std::chrono::milliseconds duration() {
  char const* const given = std::getenv("TEST_SECONDS");
  if (given != nullptr) return std::chrono::seconds(std::strtoul(given, nullptr, 10));
  return std::chrono::milliseconds(sanitized ? 4'000 : 1'500);
}

}  // namespace support
