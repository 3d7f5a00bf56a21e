// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The calendar types of <chrono>, from std::chrono::day to year_month_weekday_last: their parts, in
// the order in which their constructors take them. A date that is none (30 February) travels as it
// is. A part may be any number that its type holds, so each message of the right length is a value.

#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/std_shapes.hpp>
#include <procpool/detail/codec/archive/values.hpp>

namespace procpool::inline v0_1::detail {

// What a calendar type is made of. Most specific first: a year_month_weekday has a weekday, too.
template <class T>
constexpr auto calendar_parts(T const& value) {
  if constexpr (requires { value.year(), value.weekday_indexed(); }) {
    return std::tuple(value.year(), value.month(), value.weekday_indexed());
  } else if constexpr (requires { value.year(), value.weekday_last(); }) {
    return std::tuple(value.year(), value.month(), value.weekday_last());
  } else if constexpr (requires { value.year(), value.month_day_last(); }) {
    return std::tuple(value.year(), value.month_day_last());
  } else if constexpr (requires { value.year(), value.day(); }) {
    return std::tuple(value.year(), value.month(), value.day());
  } else if constexpr (requires { value.year(); }) {
    return std::tuple(value.year(), value.month());
  } else if constexpr (requires { value.month(), value.weekday_indexed(); }) {
    return std::tuple(value.month(), value.weekday_indexed());
  } else if constexpr (requires { value.month(), value.weekday_last(); }) {
    return std::tuple(value.month(), value.weekday_last());
  } else if constexpr (requires { value.month(), value.day(); }) {
    return std::tuple(value.month(), value.day());
  } else if constexpr (requires { value.month(); }) {
    return std::tuple(value.month());
  } else if constexpr (requires { value.index(); }) {
    return std::tuple(value.weekday(), static_cast<std::uint8_t>(value.index()));
  } else if constexpr (requires { value.weekday(); }) {
    return std::tuple(value.weekday());
  } else if constexpr (requires { value.c_encoding(); }) {
    return std::tuple(static_cast<std::uint8_t>(value.c_encoding()));
  } else if constexpr (requires { value.is_leap(); }) {
    return std::tuple(static_cast<std::int16_t>(int{value}));
  } else {
    return std::tuple(static_cast<std::uint8_t>(unsigned{value}));
  }
}

template <StdCalendar T>
struct StdCodec<T> {
  using Parts = Types<>;
  using Made = decltype(calendar_parts(std::declval<T const&>()));
  static constexpr std::size_t least = []<class... Part>(std::type_identity<std::tuple<Part...>>) {
    return (min_size<Part>() + ...);
  }(std::type_identity<Made>{});

  static void save(Sink& out, T const& value) {
    std::apply([&]<class... Part>(Part const&... part) { (save_value<Part>(out, part), ...); },
               calendar_parts(value));
  }
  static void load(Source& in, T& value) { value = make(in); }
  static T make(Source& in) {
    return [&]<class... Part>(std::type_identity<std::tuple<Part...>>) {
      return T{make_value<Part>(in)...};
    }(std::type_identity<Made>{});
  }
};

}  // namespace procpool::inline v0_1::detail
