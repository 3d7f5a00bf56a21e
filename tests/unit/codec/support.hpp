// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Shared by the codec's tests: a round trip, and what a hostile message may and may not do.

#include <procpool/detail/codec/codec.hpp>

#include <cstddef>
#include <exception>
#include <span>

#include <gtest/gtest.h>

namespace codec_test {

using namespace procpool::detail;

template <class T>
Bytes bytes_of(T const& value) {
  Bytes out;
  encode(out, value);
  return out;
}

template <class T>
T there_and_back(T const& value) {
  return decode<T>(bytes_of(value));
}

// Every shorter message is refused.
template <class T>
void expect_every_cut_refused(T const& value) {
  auto const whole = bytes_of(value);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    // A copy of its own, so that a sanitizer sees a read past the end.
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_THROW(decode<T>(cut), procpool::SerializationError) << "cut at " << length;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode<T>(longer), procpool::SerializationError);
}

// Every byte changed in several ways gives a value or a typed refusal. Returns how many were
// refused.
template <class T, class Look>
std::size_t flip_every_byte(T const& value, Look look) {
  auto const whole = bytes_of(value);
  std::size_t refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (unsigned mask : {0x01u, 0x02u, 0x03u, 0x04u, 0x05u, 0x07u, 0x10u, 0x80u, 0xffu}) {
      Bytes changed(whole.begin(), whole.end());
      changed[i] ^= static_cast<std::byte>(mask);
      try {
        look(decode<T>(changed));
      } catch (procpool::SerializationError const&) {
        ++refused;
      }
    }
  }
  return refused;
}

}  // namespace codec_test
