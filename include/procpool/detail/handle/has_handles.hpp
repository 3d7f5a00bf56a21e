// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Does a value of a type hold handles, which travel beside its bytes? Compile-time only. A type with
// a `serialize` of its user may hold some.

#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/layout.hpp>
#include <procpool/detail/codec/archive/type_check.hpp>

namespace procpool::inline v0_1::detail {

enum class Handles { none, maybe, certain };

template <class T>
inline constexpr bool is_handle = false;

constexpr Handles max_of(Handles a, Handles b) noexcept { return a < b ? b : a; }

template <class T, class... Seen>
consteval Handles find_handles();

template <class... Seen, class... Parts>
consteval Handles find_handles_in(Types<Parts...>) {
  Handles all = Handles::none;
  ((all = max_of(all, find_handles<std::remove_cv_t<Parts>, Seen...>())), ...);
  return all;
}

template <class... Seen, class T>
consteval Handles find_handles_behind(Behind<T>) {
  return find_handles<std::remove_cv_t<T>, Seen...>();
}

template <class... Seen, class F>
consteval Handles find_handles_of_functor(Functor<F>) {
  return find_handles<F, Seen...>();
}

template <class T, class... Seen>
consteval Handles find_handles() {
  if constexpr (is_behind<T>) {
    return find_handles_behind<Seen...>(T{});
  } else if constexpr (is_types<T>) {
    return find_handles_in<Seen...>(T{});
  } else if constexpr (is_functor<T>) {
    return find_handles_of_functor<Seen...>(T{});
  } else if constexpr (is_allocator<T> || is_among<T, Seen...> || Scalar<T> || AsBytes<T>) {
    return Handles::none;
  } else if constexpr (std::is_bounded_array_v<T>) {
    return find_handles<std::remove_cv_t<std::remove_all_extents_t<T>>, Seen...>();
  } else if constexpr (is_handle<T>) {
    return Handles::certain;
  } else if constexpr (HasStdCodec<T>) {
    return find_handles_in<T, Seen...>(typename StdCodec<T>::Parts{});
  } else if constexpr (UserType<T>) {
    return Handles::maybe;
  } else if constexpr (Plain<T>) {
    return find_handles_in<T, Seen...>(fields_t<T>{});
  } else {
    return Handles::none;  // it cannot be serialized
  }
}

template <class T>
inline constexpr Handles has_handles = find_handles<std::remove_cv_t<T>>();

}  // namespace procpool::inline v0_1::detail
