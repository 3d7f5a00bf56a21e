// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The callables of an actor, as a worker runs them: MakeActor and RestoreActor make its object, and
// ActorCall calls a function with it. Types only; the object is found by ActorScope.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/call/actor_object.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/call/callable_state.hpp>
#include <procpool/detail/call/signature.hpp>

namespace procpool::inline v0_1::detail {

template <class T>
struct MakeActor {
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  void operator()(std::uint64_t checkpoint_every, Args&&... arguments) const {
    ActorScope::object() =
        ActorObject(std::make_unique<T>(std::forward<Args>(arguments)...), checkpoint_every);
  }
};

// Makes the object of its state.
template <class T>
struct RestoreActor {
  void operator()(std::uint64_t checkpoint_every, std::vector<std::byte> const& state) const {
    // Not a variable: a T need not be movable.
    ActorScope::object() =
        ActorObject(std::unique_ptr<T>(new T(decode<T>(state))), checkpoint_every);
  }
};

template <class T, class F>
struct ActorCall {
  F function;
  T* object = nullptr;  // in the process that has it

  template <class... Args>
    requires std::is_invocable_v<F const&, T&, Args...>
  decltype(auto) operator()(Args&&... arguments) const {
    return std::invoke(function, *object, std::forward<Args>(arguments)...);
  }
};

template <class T, class F>
inline constexpr bool is_bound<ActorCall<T, F>> = true;

// The object is that of the process that loads the callable.
template <class T, class F>
  requires has_callable_state<F>
struct CallableState<ActorCall<T, F>> {
  static constexpr bool stateless = CallableState<F>::stateless;
  static void save(Bytes& out, ActorCall<T, F> const& call) {
    CallableState<F>::save(out, call.function);
  }
  static ActorCall<T, F> load(std::span<std::byte const>& in) {
    return {CallableState<F>::load(in), static_cast<T*>(ActorScope::object().get())};
  }
};

// The parameters behind the object.
template <class Ps>
struct BehindObject {
  using type = UnknownParameters;
};
template <class P, class... Ps>
struct BehindObject<Parameters<P, Ps...>> {
  using type = Parameters<Ps...>;
};
template <class T, class F>
struct Signature<ActorCall<T, F>> {
  using type = typename BehindObject<signature_t<F>>::type;
  static constexpr bool changes_object = false;
};

// Does a function with these parameters take a T& as the first? True also if they are not known.
template <class T, class Ps>
inline constexpr bool begins_with_object = true;
template <class T>
inline constexpr bool begins_with_object<T, Parameters<>> = false;
template <class T, class P, class... Ps>
inline constexpr bool begins_with_object<T, Parameters<P, Ps...>> =
    std::is_convertible_v<T&, std::remove_reference_t<P>&>;

// The check of a call, with at most one sentence.
template <class T, class F, class... Args>
consteval bool check_actor_call() {
  static_assert(begins_with_object<T, signature_t<F>>,
                "procpool: a callable for an actor takes the actor's object first, as in "
                "actor.call([](Counter& counter, int x) { return counter.add(x); }, 5)");
  if constexpr (begins_with_object<T, signature_t<F>>) {
    return Call<ActorCall<T, F>, Args...>::check();
  }
  return false;
}

template <class T, class F, class... Args>
using actor_result_t = typename ResultIf<check_actor_call<T, F, Args...>(), ActorCall<T, F>,
                                         typename Call<ActorCall<T, F>, Args...>::Params>::type;

// The same of the arguments of the constructor.
template <class T, class... Args>
consteval bool check_actor() {
  static_assert(std::is_class_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "procpool: an actor is an object of a class");
  if constexpr (std::is_class_v<T>) {
    constexpr bool fits = !(Transmissible<serialized_t<std::decay_t<Args>>> && ...) ||
                          std::is_constructible_v<T, argument_view_t<std::decay_t<Args>>...>;
    static_assert(fits,
                  "procpool: the class of this actor has no constructor for these arguments, which "
                  "are copies in the worker");
    if constexpr (fits) return Call<MakeActor<T>, std::uint64_t, Args...>::check();
  }
  return false;
}

}  // namespace procpool::inline v0_1::detail
