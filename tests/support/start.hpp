// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The ways in which workers start, for tests that run with each of them.

#include <gtest/gtest.h>

#include <procpool.hpp>
#include <string>

namespace support {

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
