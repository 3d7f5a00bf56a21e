// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Decoding as a result's owner does it: into one of several types, of which the first byte of the
// input says which. What is accepted must be a value: it can be encoded again, and that is accepted
// too.

#include <array>
#include <tuple>
#include <utility>

#include <procpool/detail/codec/codec.hpp>

#include "fuzz/fuzz.hpp"

namespace fuzz {

template <class T>
void decode_as(std::span<std::byte const> input) {
  using namespace procpool::detail;
  try {
    T const value = decode<T>(input);
    procpool::detail::Bytes again;
    encode(again, value);
    [[maybe_unused]] T const same = decode<T>(again);
    require(again.size() <= 2 * input.size() + 1024, "a value is about as large as its message");
  } catch (procpool::SerializationError const&) {
  }
}

template <class... T>
class Types {
 public:
  static void decode(std::span<std::byte const> input) {
    Input in(input);
    std::size_t const which = in.take() % sizeof...(T);
    std::size_t index = 0;
    // One of them.
    ((index++ == which ? decode_as<T>(in.rest()) : void()), ...);
  }

  // One of each type, in their order.
  static std::vector<Bytes> seeds(T const&... values) {
    std::vector<Bytes> all;
    (all.push_back(seed(all.size(), values)), ...);
    return all;
  }

 private:
  template <class Value>
  static Bytes seed(std::size_t index, Value const& value) {
    procpool::detail::Bytes bytes;
    procpool::detail::encode(bytes, value);
    return Output().put(static_cast<std::uint8_t>(index)).put_bytes(bytes).take();
  }
};

}  // namespace fuzz
