// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The present of tests that give their times themselves.

#include <chrono>

namespace procpool::parent {

inline constexpr std::chrono::steady_clock::time_point now{std::chrono::hours(1)};

}  // namespace procpool::parent
