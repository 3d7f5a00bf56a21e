// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// One argument and one result of more than 5 GiB: nothing on the way counts bytes in 32 bits.
//
// Needs up to 15 GiB of memory for a moment: says so and is skipped where that is not free, and
// under sanitizers, which need more than twice as much.

#include <gtest/gtest.h>

#include <cstdint>
#include <procpool.hpp>
#include <vector>

#include "support/build.hpp"
#include "support/processes.hpp"

namespace {

constexpr std::size_t gib = std::size_t{1} << 30;
constexpr std::size_t huge = 5 * gib + 4099;
constexpr std::size_t stride = 65'521;  // every page run is touched, and no two marks look alike

std::uint8_t mark_at(std::size_t i) { return static_cast<std::uint8_t>(1 + i / stride % 255); }

std::vector<std::uint8_t> make(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; i += stride) bytes[i] = mark_at(i);
  bytes.back() = 77;
  return bytes;
}

std::size_t wrong_marks(std::vector<std::uint8_t> const& bytes) {
  std::size_t wrong = bytes.back() != 77;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += stride) wrong += bytes[i] != mark_at(i);
  return wrong;
}

struct Seen {
  std::uint64_t size = 0;
  std::uint64_t wrong = 0;
};
Seen look(std::vector<std::uint8_t> const& bytes) { return {bytes.size(), wrong_marks(bytes)}; }

char const* why_not() {
  if (support::sanitized) return "a sanitizer doubles the memory that this needs";
  if (support::memory_available() < std::uint64_t{18} << 20) {
    return "less than 18 GiB of memory are free (MemAvailable)";
  }
  return nullptr;
}

}  // namespace

TEST(HugeMessage, ArgumentOfMoreThan5GiB) {
  if (char const* const reason = why_not()) GTEST_SKIP() << reason;
  procpool::ProcessPool pool{1};
  auto future = [&] {
    std::vector<std::uint8_t> const bytes = make(huge);
    return pool.submit<look>(bytes);
  }();
  Seen const seen = future.get();
  EXPECT_EQ(seen.size, huge);
  EXPECT_EQ(seen.wrong, 0u);
}

TEST(HugeMessage, ResultOfMoreThan5GiB) {
  if (char const* const reason = why_not()) GTEST_SKIP() << reason;
  procpool::ProcessPool pool{1};
  std::vector<std::uint8_t> const bytes = pool.call<make>(huge);
  EXPECT_EQ(bytes.size(), huge);
  EXPECT_EQ(wrong_marks(bytes), 0u);
}
