// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Waiting for something to become true, with an end. Tests never sleep in the hope that it has.

#include <chrono>
#include <thread>

namespace support {

using namespace std::chrono_literals;

// After this, something that was to happen counts as missing.
inline constexpr auto patience = 20s;

template <class Condition>
bool until(Condition&& condition, std::chrono::milliseconds limit = 20s) {
  auto const end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(500us);
  }
}

class Stopwatch {
 public:
  std::chrono::milliseconds passed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start_);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace support
