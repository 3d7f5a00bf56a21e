// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Payloads: few bytes lie in the payload itself, more in memory that its copies share.

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>

namespace procpool::detail {
namespace {

Bytes some(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

class PayloadTest : public testing::TestWithParam<std::size_t> {};

TEST_P(PayloadTest, KeepsItsBytesWhereverItGoes) {
  Bytes const expected = some(GetParam());
  Bytes source = expected;
  std::vector<Payload> payloads;
  payloads.push_back(Payload::copy(source));
  std::ranges::fill(source, std::byte{0});
  for (int i = 0; i < 40; ++i) payloads.push_back(payloads.back());  // moves them, again and again
  Payload const moved = std::move(payloads.front());
  payloads.erase(payloads.begin());
  EXPECT_TRUE(std::ranges::equal(moved.bytes(), expected));
  for (Payload const& payload : payloads) {
    EXPECT_EQ(payload.size(), expected.size());
    EXPECT_TRUE(std::ranges::equal(payload.bytes(), expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, PayloadTest, testing::Values(0, 1, 8, 15, 16, 17, 100, 100'000));

}  // namespace
}  // namespace procpool::detail
