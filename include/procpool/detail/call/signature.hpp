// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The parameter types of a callable where they can be told: of functions, member pointers, and
// objects with one operator(). Overload sets and templates have none; there the arguments decide.
// Types only.

#include <type_traits>

namespace procpool::inline v0_1::detail {

template <class... Ps>
struct Parameters {};

struct UnknownParameters {};

template <class F>
struct FunctionType {
  using Parameters = UnknownParameters;
};

#define PROCPOOL_FUNCTION_TYPE(qualifiers, non_const) \
  template <class R, class... Ps>                     \
  struct FunctionType<R(Ps...) qualifiers> {          \
    using Parameters = detail::Parameters<Ps...>;     \
    static constexpr bool changes_object = non_const; \
  };                                                  \
  template <class R, class... Ps>                     \
  struct FunctionType<R(Ps...) qualifiers noexcept> { \
    using Parameters = detail::Parameters<Ps...>;     \
    static constexpr bool changes_object = non_const; \
  };
PROCPOOL_FUNCTION_TYPE(, true)
PROCPOOL_FUNCTION_TYPE(&, true)
PROCPOOL_FUNCTION_TYPE(&&, true)
PROCPOOL_FUNCTION_TYPE(const, false)
PROCPOOL_FUNCTION_TYPE(const&, false)
PROCPOOL_FUNCTION_TYPE(const&&, false)
#undef PROCPOOL_FUNCTION_TYPE

template <class T, class Ps>
struct Prepend;
template <class T, class... Ps>
struct Prepend<T, Parameters<Ps...>> {
  using type = Parameters<T, Ps...>;
};

// A callable's parameters; the object of a member comes first, as an rvalue: it is a copy.
template <class F>
struct Signature {
  using type = UnknownParameters;
  static constexpr bool changes_object = false;
};

template <class F>
  requires std::is_function_v<F>
struct Signature<F*> {
  using type = typename FunctionType<F>::Parameters;
  static constexpr bool changes_object = false;
};

template <class F, class C>
  requires std::is_function_v<F>
struct Signature<F C::*> {
  using type = typename Prepend<C&&, typename FunctionType<F>::Parameters>::type;
  static constexpr bool changes_object = FunctionType<F>::changes_object;
};

template <class T, class C>
  requires(!std::is_function_v<T>)
struct Signature<T C::*> {
  using type = Parameters<C&&>;
  static constexpr bool changes_object = false;
};

template <class F>
struct CallOperator;
template <class F, class C>
struct CallOperator<F C::*> : FunctionType<F> {};

template <class F>
  requires(std::is_class_v<F> && requires { &F::operator(); })
struct Signature<F> {
  using type = typename CallOperator<decltype(&F::operator())>::Parameters;
  static constexpr bool changes_object = false;
};

template <class F>
using signature_t = typename Signature<std::remove_cvref_t<F>>::type;

}  // namespace procpool::inline v0_1::detail
