// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What every fuzz target is: a function that takes bytes which somebody hostile has sent, and does
// with them what the library would. It may refuse them in every way that is documented; whatever
// else happens ends the process. libFuzzer calls it with what it makes up, replay.cpp with the
// files of the corpus.
//
// seeds() gives valid inputs to begin with: the corpus is made of them.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>

namespace fuzz {

using Bytes = std::vector<std::byte>;

void run(std::span<std::byte const> input);
std::vector<Bytes> seeds();

// Something that must hold did not.
inline void require(bool holds, char const* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: it does not hold that %s\n", what);
  std::abort();
}

// Takes values off the front of the input; zeros when it is used up.
class Input {
 public:
  explicit Input(std::span<std::byte const> bytes) : rest_(bytes) {}

  template <class T = std::uint8_t>
  T take() {
    T value{};
    std::size_t const bytes = rest_.size() < sizeof value ? rest_.size() : sizeof value;
    if (bytes != 0) std::memcpy(&value, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
    return value;
  }
  std::span<std::byte const> take_bytes(std::size_t most) {
    auto const taken = rest_.first(rest_.size() < most ? rest_.size() : most);
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::span<std::byte const> rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<std::byte const> rest_;
};

// The other way round.
class Output {
 public:
  template <class T>
  Output& put(T const& value) {
    auto const bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Output& put_bytes(std::span<std::byte const> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace fuzz
