// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// parallelize_reduce: each slice of an integer range is folded in a worker, and then the slices'
// values in a worker too: no code of the user's runs in the program.

#include <concepts>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <procpool/detail/call/callable_state.hpp>
#include <procpool/detail/call/serialized_form.hpp>
#include <procpool/detail/call/signature.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/operations/slice_position.hpp>

namespace procpool::inline v0_1::detail {

template <class Op, class T, class V>
void fold(Op const& op, T& folded, V&& value) {
  auto const next = [&]() -> decltype(auto) {
    return std::invoke(op, std::move(folded), std::forward<V>(value));
  };
  with_result([&] { return serialized_result<T>(next); },
              [&](T&& result) { folded = std::move(result); });
}

// op(... op(op(f(from), f(from + 1)), f(from + 2)) ...); from < to.
template <class F, class Op, class I, class T>
struct FoldSlice {
  F function;
  Op op;

  T operator()(I from, I to) const {
    // Each index draws from a stream of its own, whatever slice it is in.
    SlicePosition position(SlicePosition::Of::each_element, static_cast<std::uint64_t>(from));
    T folded =
        serialized_result<T>([&]() -> decltype(auto) { return std::invoke(function, from); });
    for (I i = from; ++i != to;) {
      position.at(static_cast<std::uint64_t>(i));
      with_result([&]() -> decltype(auto) { return std::invoke(function, i); },
                  [&](auto&& value) { fold(op, folded, std::forward<decltype(value)>(value)); });
    }
    return folded;
  }
};

template <class Op, class T>
struct FoldValues {
  Op op;

  T operator()(T&& init, std::vector<T> values) const {
    T folded = std::move(init);
    for (T& value : values) fold(op, folded, std::move(value));
    return folded;
  }
};

template <class F, class Op, class I, class T>
inline constexpr bool is_bound<FoldSlice<F, Op, I, T>> = true;
template <class F, class Op, class I, class T>
struct CallableState<FoldSlice<F, Op, I, T>> {
  static constexpr bool stateless = CallableState<F>::stateless && CallableState<Op>::stateless;
  static void save(Bytes& out, FoldSlice<F, Op, I, T> const& fold) {
    CallableState<F>::save(out, fold.function);
    CallableState<Op>::save(out, fold.op);
  }
  static FoldSlice<F, Op, I, T> load(std::span<std::byte const>& in) {
    F function = CallableState<F>::load(in);
    return {std::move(function), CallableState<Op>::load(in)};
  }
};

template <class Op, class T>
inline constexpr bool is_bound<FoldValues<Op, T>> = true;
template <class Op, class T>
struct CallableState<FoldValues<Op, T>> {
  static constexpr bool stateless = CallableState<Op>::stateless;
  static void save(Bytes& out, FoldValues<Op, T> const& fold) {
    CallableState<Op>::save(out, fold.op);
  }
  static FoldValues<Op, T> load(std::span<std::byte const>& in) {
    return {CallableState<Op>::load(in)};
  }
};

}  // namespace procpool::inline v0_1::detail
