// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Which types may lie in shared memory: those that are plain bytes and mean the same in every
// process. Compile-time only.

#include <type_traits>

#include <procpool/detail/codec/archive/type_check.hpp>

namespace procpool::inline v0_1::detail {

template <class T>
consteval bool has_no_pointer();

template <class... Ts>
consteval bool have_no_pointer(Types<Ts...>) {
  return (has_no_pointer<std::remove_cv_t<Ts>>() && ...);
}

// A class that cannot be looked into may hold a pointer, unless as_bytes says that it does not.
template <class T>
consteval bool has_no_pointer() {
  if constexpr (std::is_bounded_array_v<T>) {
    return has_no_pointer<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (Scalar<T> || AsBytes<T>) {
    return true;
  } else if constexpr (HasStdCodec<T>) {
    return have_no_pointer(typename StdCodec<T>::Parts{});
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    // Also if the class has a `serialize`, which says nothing about its members.
    if constexpr (counted<T>.makeup == Makeup::fields) {
      return have_no_pointer(fields_t<T>{});
    } else {
      return false;
    }
  } else {
    return false;
  }
}

template <class T>
inline constexpr bool holds_no_pointer = has_no_pointer<std::remove_cv_t<T>>();

// Says at most one sentence.
template <class T>
consteval bool check_in_shared_memory() {
  static_assert(std::is_trivially_copyable_v<T>,
                "procpool: a value in shared memory must be plain bytes, and this type has code of "
                "its own for copying, or owns memory: use a struct of numbers and fixed arrays");
  static_assert(!std::is_trivially_copyable_v<T> || holds_no_pointer<T>,
                "procpool: a value in shared memory must mean the same in every process, and this "
                "type has a pointer, a reference or members that cannot be seen: use an index in "
                "place of a pointer, or declare the type procpool::as_bytes");
  return true;
}

}  // namespace procpool::inline v0_1::detail
