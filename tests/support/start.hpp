// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The ways in which workers start, for tests that run with each of them.

#include <gtest/gtest.h>

#include <chrono>
#include <procpool.hpp>
#include <string>

#include "support/build.hpp"

namespace support {

// Within this time a worker has started, however busy the machine is. A test that waits for the end of a
// limit in which the start lies waits this long.
inline constexpr std::chrono::milliseconds time_of_a_start{sanitized ? 8'000 : 2'000};

inline char const* name_of(procpool::Start start) {
  switch (start) {
    case procpool::Start::spawn: return "spawn";
    case procpool::Start::forkserver: return "forkserver";
    case procpool::Start::in_process: return "in_process";
  }
  return "unknown";
}

inline auto every_start() {
  return testing::Values(procpool::Start::spawn, procpool::Start::forkserver,
                         procpool::Start::in_process);
}

// For INSTANTIATE_TEST_SUITE_P.
inline constexpr auto start_name = [](auto const& test) -> std::string {
  return name_of(test.param);
};

}  // namespace support
