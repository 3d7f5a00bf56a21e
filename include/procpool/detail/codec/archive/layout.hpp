// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Properties of an encoded type, without a value. Is it written as its object bytes? How few bytes
// can it take? Can it be filled in place? Compile-time only.

#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/fields.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace procpool::inline v0_1::detail {

// The parts that lie side by side in an object of a std type, for those std types that are nothing
// but their parts.
template <class T>
struct SideBySide;
template <class T, std::size_t N>
struct SideBySide<std::array<T, N>> {
  using type = Types<T>;
  static constexpr std::size_t times = N;
};
template <class A, class B>
struct SideBySide<std::pair<A, B>> {
  using type = Types<A, B>;
  static constexpr std::size_t times = 1;
};
template <class... Ts>
struct SideBySide<std::tuple<Ts...>> {
  using type = Types<Ts...>;
  static constexpr std::size_t times = sizeof...(Ts) == 0 ? 0 : 1;
};
template <StdComplex Complex>
struct SideBySide<Complex> {
  using type = Types<typename Complex::value_type>;
  static constexpr std::size_t times = 2;
};
template <class R, class P>
struct SideBySide<std::chrono::duration<R, P>> {
  using type = Types<R>;
  static constexpr std::size_t times = 1;
};
template <class C, class D>
struct SideBySide<std::chrono::time_point<C, D>> {
  using type = Types<D>;
  static constexpr std::size_t times = 1;
};

template <class T>
concept HasSideBySide = requires { typename SideBySide<T>::type; };

template <class T>
consteval bool is_dense();

template <class Whole, class... Ts>
consteval bool are_dense(Types<Ts...>, std::size_t times) {
  return (is_dense<std::remove_cv_t<Ts>>() && ...) && times != 0 &&
         (sizeof(Ts) + ... + 0) * times == sizeof(Whole);
}

// Every byte of the object is a byte of its value.
template <class T>
consteval bool is_dense() {
  if constexpr (Scalar<T>) {
    // The x87 long double has six bytes of padding.
    return !std::is_same_v<T, long double>;
  } else if constexpr (std::is_bounded_array_v<T>) {
    return is_dense<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (AsBytes<T>) {
    return true;
  } else if constexpr (HasSideBySide<T>) {
    // Memory order need not be the order of the parts (std::tuple), so that such a type must exist
    // before its bytes can be looked at.
    if constexpr (std::default_initializable<T> && std::is_trivially_destructible_v<T> &&
                  std::is_trivially_copy_constructible_v<T>) {
      return are_dense<T>(typename SideBySide<T>::type{}, SideBySide<T>::times);
    } else {
      return false;
    }
  } else if constexpr (Plain<T>) {
    if constexpr (std::is_trivially_copyable_v<T> && !declared_t<T>::bit_fields) {
      return are_dense<T>(fields_t<T>{}, 1);
    } else {
      return false;
    }
  } else {
    return false;
  }
}

template <class T>
consteval bool has_domain();

template <class... Ts>
consteval bool any_has_domain(Types<Ts...>) {
  return (has_domain<std::remove_cv_t<Ts>>() || ...);
}

template <class T>
consteval bool is_boolean() {
  if constexpr (std::is_enum_v<T>) {
    return std::is_same_v<std::underlying_type_t<T>, bool>;
  } else {
    return std::is_same_v<T, bool>;
  }
}

// For dense types: is there a bool inside, so that not every pattern of bytes is a value?
template <class T>
consteval bool has_domain() {
  if constexpr (Scalar<T>) {
    return is_boolean<T>();
  } else if constexpr (std::is_bounded_array_v<T>) {
    return has_domain<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (AsBytes<T>) {
    return false;
  } else if constexpr (HasSideBySide<T>) {
    return any_has_domain(typename SideBySide<T>::type{});
  } else {
    return any_has_domain(fields_t<T>{});
  }
}

template <class T>
consteval std::size_t compute_fixed_size() {
  using U = std::remove_cv_t<T>;
  if constexpr (!std::is_object_v<U> || std::is_pointer_v<U>) {
    return 0;
  } else {
    return is_dense<U>() ? sizeof(U) : 0;
  }
}

template <class T>
consteval bool compute_bitwise() {
  using U = std::remove_cv_t<T>;
  if constexpr (compute_fixed_size<U>() == 0) {
    return false;
  } else {
    return !has_domain<U>();
  }
}

// N > 0: a T is always encoded as exactly the N bytes of the object.
template <class T>
inline constexpr std::size_t fixed_size = compute_fixed_size<T>();

// Arrays of T may be copied as memory in both directions: fixed, and every pattern is a value.
template <class T>
inline constexpr bool bitwise = compute_bitwise<T>();

template <class T>
consteval std::size_t min_size();

template <class... Ts>
consteval std::size_t min_sum(Types<Ts...>) {
  return (min_size<std::remove_cv_t<Ts>>() + ... + std::size_t{0});
}

// The fewest bytes that an encoded T takes; what recursive types recurse through answers by itself.
template <class T>
consteval std::size_t min_size() {
  if constexpr (fixed_size<T> != 0) {
    return sizeof(T);
  } else if constexpr (std::is_same_v<T, long double>) {
    return std::numeric_limits<long double>::digits == 64 ? 10 : sizeof(long double);
  } else if constexpr (std::is_bounded_array_v<T>) {
    return min_size<std::remove_cv_t<std::remove_extent_t<T>>>() * std::extent_v<T>;
  } else if constexpr (HasSideBySide<T>) {
    return min_sum(typename SideBySide<T>::type{}) * SideBySide<T>::times;
  } else if constexpr (HasStdCodec<T>) {
    return StdCodec<T>::least;
  } else if constexpr (Plain<T>) {
    return min_sum(fields_t<T>{});
  } else {
    return 0;
  }
}

template <class T>
consteval bool fills_in_place();

template <class... Ts>
consteval bool all_fill_in_place(Types<Ts...>) {
  return ((std::is_same_v<Ts, std::remove_cv_t<Ts>> && fills_in_place<std::remove_cv_t<Ts>>()) &&
          ...);
}

// Is a T made first and filled then? Otherwise its parts are made first and the T of them: with const
// members, bit-fields, no default constructor, or a comparator with a state.
template <class T>
consteval bool fills_in_place() {
  if constexpr (UserType<T>) {
    return !ConstructedByUser<T>;
  } else if constexpr (!std::default_initializable<T>) {
    return false;
  } else if constexpr (requires { StdCodec<T>::made_whole(); }) {
    return !StdCodec<T>::made_whole();
  } else if constexpr (std::is_bounded_array_v<T>) {
    return all_fill_in_place(Types<std::remove_extent_t<T>>{});
  } else if constexpr (HasSideBySide<T>) {
    return all_fill_in_place(typename SideBySide<T>::type{});
  } else if constexpr (Plain<T>) {
    return !declared_t<T>::bit_fields && all_fill_in_place(fields_t<T>{});
  } else {
    return true;
  }
}

}  // namespace procpool::inline v0_1::detail
