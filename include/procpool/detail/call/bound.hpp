// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A callable with some of its arguments fixed, in front or behind. It is as the result of
// std::bind_front, but can be sent to a worker.

#include <functional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/call/callable_state.hpp>
#include <procpool/detail/call/serialized_form.hpp>
#include <procpool/detail/codec/in_place.hpp>

namespace procpool::inline v0_1::detail {

// A bound value as its parameter wants it; it stays for the next call.
template <class P>
decltype(auto) show(serialized_t<P> const& kept) {
  if constexpr (std::is_same_v<std::remove_cvref_t<P>, char const*> ||
                std::is_constructible_v<std::remove_cvref_t<P>, serialized_t<P> const&>) {
    return argument_view<P>(kept);
  } else {
    return (kept);
  }
}

template <class P>
using shown_t = decltype(show<P>(std::declval<serialized_t<P> const&>()));

// Ps: the parameters for which the arguments are bound.
template <bool Front, class C, class... Ps>
struct BoundCallable {
  C callable;
  Row<serialized_t<Ps>...> bound;

  template <class... Args>
    requires(Front && std::is_invocable_v<C const&, shown_t<Ps>..., Args...>)
  constexpr decltype(auto) operator()(Args&&... args) const {
    return bound.apply([&](auto const&... kept) -> decltype(auto) {
      return std::invoke(callable, show<Ps>(kept)..., std::forward<Args>(args)...);
    });
  }
  template <class... Args>
    requires(!Front && std::is_invocable_v<C const&, Args..., shown_t<Ps>...>)
  constexpr decltype(auto) operator()(Args&&... args) const {
    return bound.apply([&](auto const&... kept) -> decltype(auto) {
      return std::invoke(callable, std::forward<Args>(args)..., show<Ps>(kept)...);
    });
  }
};

template <bool Front, class C, class... Ps>
inline constexpr bool is_bound<BoundCallable<Front, C, Ps...>> = true;

template <bool Front, class C, class... Ps>
struct CallableState<BoundCallable<Front, C, Ps...>> {
  using Whole = BoundCallable<Front, C, Ps...>;

  static constexpr bool stateless = false;
  static void save(Bytes& out, Whole const& whole) {
    CallableState<C>::save(out, whole.callable);
    whole.bound.apply([&out](auto const&... kept) { (encode(out, kept), ...); });
  }
  static Row<serialized_t<Ps>...> load_bound(std::span<std::byte const>& in) {
    Reader reader(in);
    Row<serialized_t<Ps>...> bound(std::in_place, ReadNext<serialized_t<Ps>>{reader}...);
    in = in.last(reader.remaining());
    return bound;
  }
  static Whole load(std::span<std::byte const>& in) {
    // Braces: first the callable, then what is bound.
    return Whole{CallableState<C>::load(in), load_bound(in)};
  }
};

// The parameters that are left when N are taken from the front or from the back.
template <bool Front, std::size_t N, class Ps>
struct Remaining {
  using type = UnknownParameters;
};
template <bool Front, class... Ps>
struct Remaining<Front, 0, Parameters<Ps...>> {
  using type = Parameters<Ps...>;
};
template <std::size_t N, class P, class... Ps>
  requires(N > 0)
struct Remaining<true, N, Parameters<P, Ps...>> : Remaining<true, N - 1, Parameters<Ps...>> {};

template <std::size_t N, class Taken, class Rest>
struct TakeFirst;
template <class... Ts, class... Rest>
struct TakeFirst<0, Parameters<Ts...>, Parameters<Rest...>> {
  using type = Parameters<Ts...>;
};
template <std::size_t N, class... Ts, class P, class... Rest>
  requires(N > 0)
struct TakeFirst<N, Parameters<Ts...>, Parameters<P, Rest...>>
    : TakeFirst<N - 1, Parameters<Ts..., P>, Parameters<Rest...>> {};

template <std::size_t N, class... Ps>
  requires(N > 0 && N <= sizeof...(Ps))
struct Remaining<false, N, Parameters<Ps...>>
    : TakeFirst<sizeof...(Ps) - N, Parameters<>, Parameters<Ps...>> {};

template <bool Front, class C, class... Bound>
struct Signature<BoundCallable<Front, C, Bound...>> {
  using type = typename Remaining<Front, sizeof...(Bound), signature_t<C>>::type;
  static constexpr bool changes_object = false;
};

// The parameters for which arguments are bound: the declared ones where known.
template <bool Front, class Ps, class... Args>
struct BoundParameters {
  using type = Parameters<std::decay_t<Args>...>;
};
template <bool Front, class... Ps, class... Args>
  requires(sizeof...(Args) <= sizeof...(Ps))
struct BoundParameters<Front, Parameters<Ps...>, Args...> {
  static constexpr std::size_t skip = Front ? 0 : sizeof...(Ps) - sizeof...(Args);
  template <std::size_t... Is>
  static auto pick(std::index_sequence<Is...>) -> Parameters<
      typename AsGiven<std::tuple_element_t<skip + Is, std::tuple<Ps...>>, Args>::type...>;
  using type = decltype(pick(std::index_sequence_for<Args...>{}));
};

template <bool Front, class C, class... Args>
auto bind(C callable, Args&&... args) {
  if constexpr (check_callable<C>()) {
    return [&]<class... Ps>(Parameters<Ps...>) {
      return BoundCallable<Front, C, Ps...>{std::move(callable),
                                            Row<serialized_t<Ps>...>(std::in_place, [&] {
                                              return to_serialized<Ps>(std::forward<Args>(args));
                                            }...)};
    }(typename BoundParameters<Front, signature_t<C>, Args...>::type{});
  } else {
    return [](auto&&...) {};  // its sentence was said
  }
}

}  // namespace procpool::inline v0_1::detail
