// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// std::expected, where the library has it. CMake compiles this file as C++23.

#include "support.hpp"

#include <version>
#ifdef __cpp_lib_expected

#include <expected>
#include <string>
#include <vector>

namespace {

using namespace codec_test;

template <class T>
void expect_same(T const& value) {
  EXPECT_TRUE(there_and_back(value) == value);
}

struct Constant {
  int const number;
  bool operator==(Constant const&) const = default;
};

TEST(CodecExpected, ValuesAndErrorsTravel) {
  expect_same(std::expected<int, std::string>(3));
  expect_same(std::expected<int, std::string>(std::unexpect, "none"));
  expect_same(std::expected<std::vector<std::string>, int>({"a", "b"}));
  expect_same(std::expected<void, int>());
  expect_same(std::expected<void, int>(std::unexpect, 5));
  expect_same(std::expected<Constant, Constant>(Constant{4}));
  expect_same(std::expected<Constant, Constant>(std::unexpect, Constant{4}));
  expect_same(std::vector<std::expected<int, std::string>>{1, std::unexpected("x")});
}

TEST(CodecExpected, HostileBytesAreRefused) {
  using Result = std::expected<std::string, std::string>;
  expect_every_cut_refused(Result("value"));
  expect_every_cut_refused(Result(std::unexpect, "error"));
  auto bytes = bytes_of(Result("value"));
  bytes.front() = std::byte{2};
  EXPECT_THROW(decode<Result>(bytes), procpool::SerializationError);
}

}  // namespace

#endif
