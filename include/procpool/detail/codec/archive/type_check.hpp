// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Can a type be serialized, and if not, why? The answer is found by walking its parts at compile
// time. A caller fails with one readable sentence.

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/adaptors.hpp>
#include <procpool/detail/codec/archive/associative.hpp>
#include <procpool/detail/codec/archive/calendar.hpp>
#include <procpool/detail/codec/archive/error_codes.hpp>
#include <procpool/detail/codec/archive/random_engines.hpp>
#include <procpool/detail/codec/archive/refusal.hpp>
#include <procpool/detail/codec/archive/small_types.hpp>
#include <procpool/detail/codec/archive/smart_pointers.hpp>

namespace procpool::inline v0_1::detail {

// A refusal and the type, somewhere inside, that causes it.
template <Refusal R, class Culprit = void>
struct TypeCheck {
  static constexpr Refusal refusal = R;
  using culprit = Culprit;
};
using Fine = TypeCheck<Refusal::none>;

template <class T>
inline constexpr bool is_view = false;
template <class C, class Tr>
inline constexpr bool is_view<std::basic_string_view<C, Tr>> = true;
template <class T, std::size_t N>
inline constexpr bool is_view<std::span<T, N>> = true;

template <class T>
inline constexpr bool is_odd_unique = false;
template <class T, class D>
inline constexpr bool is_odd_unique<std::unique_ptr<T, D>> =
    !std::is_same_v<D, std::default_delete<T>>;

template <class T, class... Ts>
inline constexpr bool is_among = (std::is_same_v<T, Ts> || ...);

template <class T, class... Seen>
consteval auto judge();

template <class... Seen>
consteval auto judge_parts(Types<>) {
  return Fine{};
}

template <class... Seen, class First, class... Rest>
consteval auto judge_parts(Types<First, Rest...>) {
  using Here = decltype(judge<std::remove_cv_t<First>, Seen...>());
  if constexpr (Here::refusal != Refusal::none) {
    return Here{};
  } else {
    return decltype(judge_parts<Seen...>(Types<Rest...>{})){};
  }
}

template <class T>
inline constexpr bool is_behind = false;
template <class T>
inline constexpr bool is_behind<Behind<T>> = true;

template <class... Seen, class T>
consteval auto judge_behind(Behind<T>) {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_array_v<T> || std::is_void_v<T>) {
    return TypeCheck<Refusal::array_pointer, T>{};
  } else if constexpr (is_among<U, Seen...>) {
    return Fine{};
  } else if constexpr (UserType<U>) {
    return Fine{};
  } else if constexpr (std::is_polymorphic_v<U>) {
    return TypeCheck<Refusal::polymorphic, U>{};
  } else {
    return decltype(judge<U, Seen...>()){};
  }
}

template <class T>
inline constexpr bool is_types = false;
template <class... Ts>
inline constexpr bool is_types<Types<Ts...>> = true;

template <class T>
inline constexpr bool is_functor = false;
template <class F>
inline constexpr bool is_functor<Functor<F>> = true;

template <class... Seen, class F>
consteval auto judge_functor(Functor<F>) {
  if constexpr (is_made_anew<F>()) {
    return Fine{};
  } else if constexpr (decltype(judge<F, Seen...>())::refusal == Refusal::none) {
    return Fine{};
  } else {
    return TypeCheck<Refusal::functor, F>{};
  }
}

template <class T>
inline constexpr bool is_allocator = false;
template <class A>
inline constexpr bool is_allocator<Allocator<A>> = true;

template <class A>
consteval auto judge_allocator(Allocator<A>) {
  return TypeCheck<RenewableAllocator<A> ? Refusal::none : Refusal::allocator, A>{};
}

// How many parts stand in the braces that make a struct of its fields.
template <class... Fields>
consteval std::size_t count_brace_parts(Types<Fields...>) {
  return ((sizeof(Fields) / sizeof(std::remove_all_extents_t<Fields>)) + ... + std::size_t{0});
}

template <class T, class... Parts>
consteval bool braces_make(Types<Parts...>) {
  return requires { T{std::declval<Parts>()...}; };
}

// A struct that is not filled in place (it has const members, or no default constructor) must come
// of its parts.
template <class T>
consteval bool comes_of_parts() {
  if constexpr (fills_in_place<T>()) {
    return true;
  } else if constexpr (count_brace_parts(fields_t<T>{}) > max_brace_parts) {
    return false;
  } else {
    return braces_make<T>(brace_parts_t<T>{});
  }
}

template <class... Parts>
consteval bool any_array(Types<Parts...>) {
  return (std::is_array_v<Parts> || ...);
}

// Pairs and the like: those with arrays in them can only be filled.
template <class T>
consteval bool arrays_are_filled() {
  if constexpr (!HasSideBySide<T>) {
    return true;
  } else if constexpr (any_array(typename SideBySide<T>::type{})) {
    return fills_in_place<T>();
  } else {
    return true;
  }
}

template <class T, class... Seen>
consteval auto judge_std() {
  using Parts = decltype(judge_parts<T, Seen...>(typename StdCodec<T>::Parts{}));
  if constexpr (Parts::refusal != Refusal::none) {
    return Parts{};
  } else {
    return TypeCheck<arrays_are_filled<T>() ? Refusal::none : Refusal::not_made, T>{};
  }
}

template <class T, class... Seen>
consteval auto judge_aggregate() {
  constexpr auto makeup = counted<T>.makeup;
  if constexpr (makeup == Makeup::base) {
    return TypeCheck<Refusal::base_class, T>{};
  } else if constexpr (makeup == Makeup::union_member) {
    return TypeCheck<Refusal::union_type, T>{};
  } else if constexpr (makeup == Makeup::too_many) {
    return TypeCheck<Refusal::too_many, T>{};
  } else if constexpr (makeup == Makeup::uncountable) {
    return TypeCheck<Refusal::uncountable, T>{};
  } else {
    using Fields = decltype(judge_parts<T, Seen...>(fields_t<T>{}));
    if constexpr (Fields::refusal != Refusal::none) {
      return Fields{};
    } else {
      return TypeCheck<comes_of_parts<T>() ? Refusal::none : Refusal::not_made, T>{};
    }
  }
}

template <class T, class... Seen>
consteval auto judge() {
  if constexpr (is_behind<T>) {
    return decltype(judge_behind<Seen...>(T{})){};
  } else if constexpr (is_types<T>) {
    return decltype(judge_parts<Seen...>(T{})){};
  } else if constexpr (is_functor<T>) {
    return decltype(judge_functor<Seen...>(T{})){};
  } else if constexpr (is_allocator<T>) {
    return decltype(judge_allocator(T{})){};
  } else if constexpr (is_among<T, Seen...>) {
    return Fine{};  // a type within itself: judged where it was met first
  } else if constexpr (std::is_reference_v<T>) {
    return TypeCheck<Refusal::reference, T>{};
  } else if constexpr (std::is_function_v<std::remove_pointer_t<T>> ||
                       std::is_member_pointer_v<T>) {
    return TypeCheck<Refusal::function, T>{};
  } else if constexpr (std::is_pointer_v<T> || std::is_null_pointer_v<T>) {
    return TypeCheck<Refusal::raw_pointer, T>{};
  } else if constexpr (std::is_bounded_array_v<T>) {
    return decltype(judge<std::remove_cv_t<std::remove_all_extents_t<T>>, Seen...>()){};
  } else if constexpr (std::is_array_v<T>) {
    return TypeCheck<Refusal::c_array, T>{};
  } else if constexpr (Scalar<T>) {
    return Fine{};
  } else if constexpr (AsBytes<T>) {
    return TypeCheck<std::is_trivially_copyable_v<T> ? Refusal::none : Refusal::not_trivial, T>{};
  } else if constexpr (HasStdCodec<T>) {
    return decltype(judge_std<T, Seen...>()){};
  } else if constexpr (is_view<T>) {
    return TypeCheck<Refusal::view, T>{};
  } else if constexpr (is_odd_unique<T>) {
    return TypeCheck<Refusal::deleter, T>{};
  } else if constexpr (UserType<T>) {
    return TypeCheck<std::default_initializable<T> || ConstructedByUser<T> ? Refusal::none
                                                                           : Refusal::no_default,
                     T>{};
  } else if constexpr (std::is_union_v<T>) {
    return TypeCheck<Refusal::union_type, T>{};
  } else if constexpr (Aggregate<T>) {
    return decltype(judge_aggregate<T, Seen...>()){};
  } else {
    return TypeCheck<why_not_open<T>(), T>{};
  }
}

template <class T>
consteval auto judge_whole() {
  using V = decltype(judge<std::remove_cv_t<T>>());
  if constexpr (std::is_array_v<T>) {
    return TypeCheck<Refusal::c_array, T>{};
  } else if constexpr (V::refusal == Refusal::none &&
                       !std::move_constructible<std::remove_cv_t<T>>) {
    return TypeCheck<Refusal::not_movable, T>{};
  } else {
    return V{};
  }
}

template <class T>
using type_check_t = decltype(judge_whole<T>());

template <class T>
inline constexpr bool serializable = type_check_t<T>::refusal == Refusal::none;

}  // namespace procpool::inline v0_1::detail
