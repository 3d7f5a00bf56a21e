// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The few values of the pool's own messages as bytes: numbers as they lie in memory (both ends are
// the same program), strings and bytes behind their length. Reading is bounded: if something is
// missing, the reader becomes bad() and returns zeros.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace procpool::inline v0_1::os {

template <class Container>  // of std::byte
class WireWriter {
 public:
  explicit WireWriter(Container& out) noexcept : out_(out) {}

  template <class N>
    requires std::is_arithmetic_v<N> || std::is_enum_v<N>
  void number(N value) {
    std::size_t const end = out_.size();
    out_.resize(end + sizeof value);
    std::memcpy(out_.data() + end, &value, sizeof value);
  }
  void bytes(std::span<std::byte const> value) {
    number(static_cast<std::uint64_t>(value.size()));
    std::size_t const end = out_.size();
    out_.resize(end + value.size());
    if (!value.empty()) std::memcpy(out_.data() + end, value.data(), value.size());
  }
  void text(std::string_view value) { bytes(std::as_bytes(std::span(value))); }

  void field(std::string_view value) { text(value); }
  template <class N>
    requires std::is_arithmetic_v<N> || std::is_enum_v<N>
  void field(N value) {
    number(value);
  }

 private:
  Container& out_;
};

class WireReader {
 public:
  explicit WireReader(std::span<std::byte const> in) noexcept : rest_(in) {}

  template <class N>
    requires std::is_arithmetic_v<N> || std::is_enum_v<N>
  N number() noexcept {
    N value{};
    if (rest_.size() < sizeof value) {
      bad_ = true;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }
  std::span<std::byte const> bytes() noexcept {
    auto const size = number<std::uint64_t>();
    if (size > rest_.size()) {
      bad_ = true;
      return {};
    }
    auto const value = rest_.first(size);
    rest_ = rest_.subspan(size);
    return value;
  }
  std::string text() {
    auto const value = bytes();
    return {reinterpret_cast<char const*>(value.data()), value.size()};
  }
  void field(std::string& value) { value = text(); }
  template <class N>
    requires std::is_arithmetic_v<N> || std::is_enum_v<N>
  void field(N& value) noexcept {
    value = number<N>();
  }
  std::span<std::byte const> rest() const noexcept { return rest_; }
  bool bad() const noexcept { return bad_; }

 private:
  std::span<std::byte const> rest_;
  bool bad_ = false;
};

// A message of a few values, behind a number that tells it from all other messages.
template <class... Fields>
std::vector<std::byte> write_packet(std::uint32_t magic, Fields const&... fields) {
  std::vector<std::byte> out;
  WireWriter writer(out);
  writer.number(magic);
  (writer.field(fields), ...);
  return out;
}

// Reads into the same values. False: the bytes are another message, or none.
template <class... Fields>
bool read_packet(std::span<std::byte const> bytes, std::uint32_t magic, Fields&... fields) {
  WireReader reader(bytes);
  if (reader.number<std::uint32_t>() != magic) return false;
  (reader.field(fields), ...);
  return !reader.bad();
}

}  // namespace procpool::inline v0_1::os
