// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Fields: one list of members for both ways. A message has `template <class A> void fields(A& a)`, which
// names its members; FieldWriter appends them, and FieldReader reads them back and believes nothing: a
// list has no more entries than there are bytes, an enumeration only its own values. Pure.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0_1::cluster {

// The last value of an enumeration that travels.
template <class E>
inline constexpr std::uint64_t last_of = 0;

class FieldWriter {
 public:
  explicit FieldWriter(detail::Bytes& out) noexcept : writer_(out) {}

  template <class... Ts>
  void operator()(Ts const&... values) {
    (put(values), ...);
  }

 private:
  template <class T>
  void put(T const& value) {
    if constexpr (std::is_same_v<T, bool>) {
      writer_.number(static_cast<std::uint8_t>(value));
    } else if constexpr (std::is_enum_v<T>) {
      writer_.number(static_cast<std::uint32_t>(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      writer_.number(value);
    } else {
      const_cast<T&>(value).fields(*this);  // which only reads it here
    }
  }
  void put(std::string const& value) { writer_.text(value); }
  void put(detail::Bytes const& value) { writer_.bytes(value); }
  void put(std::span<std::byte const> value) { writer_.bytes(value); }
  template <class Rep, class Period>
  void put(std::chrono::duration<Rep, Period> value) {
    writer_.number(static_cast<std::int64_t>(value.count()));
  }
  template <class T>
  void put(std::optional<T> const& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <class T>
  void put(std::vector<T> const& values) {
    writer_.number(static_cast<std::uint64_t>(values.size()));
    for (T const& value : values) put(value);
  }
  template <class K, class V>
  void put(std::map<K, V> const& values) {
    writer_.number(static_cast<std::uint64_t>(values.size()));
    for (auto const& [key, value] : values) {
      put(key);
      put(value);
    }
  }

  os::WireWriter<detail::Bytes> writer_;
};

// Spans point into the bytes that are read.
class FieldReader {
 public:
  explicit FieldReader(std::span<std::byte const> in) noexcept : reader_(in) {}

  template <class... Ts>
  void operator()(Ts&... values) {
    (get(values), ...);
  }
  // Everything was there, made sense, and nothing is left.
  bool good() const noexcept { return !bad() && reader_.rest().empty(); }
  bool bad() const noexcept { return bad_ || reader_.bad(); }

 private:
  template <class T>
  void get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      auto const number = reader_.number<std::uint8_t>();
      if (number > 1) bad_ = true;
      value = number == 1;
    } else if constexpr (std::is_enum_v<T>) {
      auto const number = reader_.number<std::uint32_t>();
      if (number > last_of<T>) bad_ = true;
      value = bad_ ? T() : static_cast<T>(number);
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = reader_.number<T>();
    } else {
      value.fields(*this);
    }
  }
  void get(std::string& value) { value = reader_.text(); }
  void get(detail::Bytes& value) {
    auto const bytes = reader_.bytes();
    value.assign(bytes.begin(), bytes.end());
  }
  void get(std::span<std::byte const>& value) { value = reader_.bytes(); }
  template <class Rep, class Period>
  void get(std::chrono::duration<Rep, Period>& value) {
    value = std::chrono::duration<Rep, Period>(static_cast<Rep>(reader_.number<std::int64_t>()));
  }
  template <class T>
  void get(std::optional<T>& value) {
    bool given = false;
    get(given);
    value.reset();
    if (given) get(value.emplace());
  }
  template <class T>
  void get(std::vector<T>& values) {
    auto const count = reader_.number<std::uint64_t>();
    // Ends with the bytes, whatever the number says: each entry takes at least one.
    for (std::uint64_t i = 0; i < count && !bad(); ++i) get(values.emplace_back());
    if (bad()) values.clear();
  }
  template <class K, class V>
  void get(std::map<K, V>& values) {
    auto const count = reader_.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < count && !bad(); ++i) {
      K key{};
      get(key);
      get(values[key]);
    }
  }

  os::WireReader reader_;
  bool bad_ = false;
};

}  // namespace procpool::inline v0_1::cluster
