// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Call<C, Args...>: the compile-time check of a callable with its arguments. It names the
// serialized forms of the arguments and the type of the result. If something is wrong, it says one
// sentence.

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/call/callable_state.hpp>
#include <procpool/detail/call/serialized_form.hpp>
#include <procpool/detail/call/signature.hpp>

namespace procpool::inline v0_1::detail {

// The parameters of the call: declared ones where they can be told, else the arguments as values.
template <class Ps, class... Args>
struct CallParameters {
  using type = Ps;
};
template <class... Ps, class... Args>
  requires(sizeof...(Ps) == sizeof...(Args))
struct CallParameters<Parameters<Ps...>, Args...> {
  using type = Parameters<typename AsGiven<Ps, Args>::type...>;
};
template <class... Args>
struct CallParameters<UnknownParameters, Args...> {
  using type = Parameters<std::decay_t<Args>...>;
};

template <class T>
using type_check_of =
    not_serializable<T, typename type_check_t<T>::culprit, type_check_t<T>::refusal>;

// In the compiler's message these names tell which argument, or the result, is meant. Said, and
// nothing more: no constant may depend on a class that failed, or Clang refuses that too, at
// length.
template <std::size_t Index, class T>
struct procpool_argument : type_check_of<T> {
  using Said = void;
};
template <class T>
struct procpool_result : type_check_of<T> {
  using Said = void;
};
// The argument of the callable in the worker.
template <class P>
using argument_view_t = decltype(argument_view<P>(std::declval<serialized_t<P>&>()));

template <class C, class... Ps>
using call_result_t = serialized_t<std::invoke_result_t<C const&, argument_view_t<Ps>...>>;

template <class C, class... Ps>
struct ResultOf {
  using type = call_result_t<C, Ps...>;
};
template <class C, class... Ps>
  requires std::is_void_v<std::invoke_result_t<C const&, argument_view_t<Ps>...>>
struct ResultOf<C, Ps...> {
  using type = void;
};

template <class C, class Ps, class... Args>
struct CheckedCall;

template <class C, class... Ps, class... Args>
struct CheckedCall<C, Parameters<Ps...>, Args...> {
  using Params = Parameters<Ps...>;

  static constexpr bool callable_serializable = has_callable_state<C>;
  static constexpr bool no_change_lost =
      !(loses_change<Ps> || ...) &&
      !(Signature<C>::changes_object && (std::is_lvalue_reference_v<Args> || ...) &&
        std::is_lvalue_reference_v<std::tuple_element_t<0, std::tuple<Args..., int>>>);
  static constexpr bool count_right = sizeof...(Ps) == sizeof...(Args);

  static consteval bool arguments_fit() {
    if constexpr (!callable_serializable || !no_change_lost || !count_right) {
      return false;
    } else {
      return (GivenAs<Args, Ps> && ...) && std::is_invocable_v<C const&, argument_view_t<Ps>...>;
    }
  }

  // Every sentence at most once, and nothing after the first that is wrong.
  static consteval bool check() {
    check_callable<C>();
    static_assert(!(loses_change<Ps> || ...),
                  "procpool: this function takes a parameter by non-const reference; the change "
                  "would be lost in the worker: take it by value or const& and return the result");
    static_assert(no_change_lost || (loses_change<Ps> || ...),
                  "procpool: this member function changes its object, which is a copy in the "
                  "worker; the change would be lost: return what is wanted, make the function "
                  "const, or pass the object as an rvalue");
    if constexpr (callable_serializable && no_change_lost) {
      static_assert(
          count_right,
          "procpool: the function cannot be called with these arguments: it takes another "
          "number of them (default arguments are not seen; wrap it in a lambda)");
      if constexpr (count_right) {
        return check_arguments(std::index_sequence_for<Ps...>{});
      }
    }
    return false;
  }

  template <std::size_t... Is>
  static consteval bool check_arguments(std::index_sequence<Is...>) {
    if constexpr ((Transmissible<serialized_t<Ps>> && ...)) {
      static_assert(arguments_fit(),
                    "procpool: the function cannot be called with these arguments: they do not "
                    "convert to its parameters, or it does not take const values and rvalues");
      if constexpr (arguments_fit()) {
        using Result = typename ResultOf<C, Ps...>::type;
        if constexpr (std::is_void_v<Result> || Transmissible<Result>) {
          return true;
        } else {
          using Refused [[maybe_unused]] = typename procpool_result<Result>::Said;
        }
      }
    } else {
      using Refused [[maybe_unused]] =
          std::tuple<typename procpool_argument<Is, serialized_t<Ps>>::Said...>;
    }
    return false;
  }
};

template <class C, class... Args>
struct Call : CheckedCall<C, typename CallParameters<signature_t<C>, Args...>::type, Args...> {};

// The result of a call that is right, else void, after its sentence.
template <bool Right, class C, class Ps>
struct ResultIf {
  using type = void;
};
template <class C, class... Ps>
struct ResultIf<true, C, Parameters<Ps...>> : ResultOf<C, Ps...> {};

template <class C, class... Args>
using result_t =
    typename ResultIf<Call<C, Args...>::check(), C, typename Call<C, Args...>::Params>::type;

}  // namespace procpool::inline v0_1::detail
