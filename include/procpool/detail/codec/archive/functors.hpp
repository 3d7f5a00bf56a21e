// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The functors of a container: a comparator, or a hash and an equality. They are part of the value:
// their state is written in front of the elements, and the container is made with them. A functor
// without a state is made anew. Function pointers are never sent here: the program would call a
// function that a worker has named. Allocators are not sent: a container comes with a new one, as a
// copy of a pmr container comes with the default resource.

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/values.hpp>

namespace procpool::inline v0_1::detail {

// Among the parts of a container.
template <class F>
struct Functor {};
template <class A>
struct Allocator {};

template <class F>
consteval bool is_made_anew() {
  if constexpr (std::is_empty_v<F> && std::default_initializable<F>) {
    return !UserType<F>;
  } else {
    return false;
  }
}

// A new one is as good as any other; or (std::pmr) a copy of a container would not have the same
// either.
template <class A>
concept RenewableAllocator =
    std::default_initializable<A> &&
    (std::allocator_traits<A>::is_always_equal::value || requires(A const& allocator) {
      allocator.resource();
      allocator.select_on_container_copy_construction();
    });

template <class F>
void save_functor(Sink& out, F const& functor) {
  if constexpr (!is_made_anew<F>()) save_value<F>(out, functor);
}

template <class F>
F make_functor(Source& in) {
  if constexpr (is_made_anew<F>()) {
    return F();
  } else {
    return make_value<F>(in);
  }
}

template <class Container>
concept Ordered = requires { typename Container::key_compare; };

template <class Container>
struct FunctorsOf {
  using type = Types<Functor<typename Container::hasher>, Functor<typename Container::key_equal>,
                     Allocator<typename Container::allocator_type>>;
  static constexpr bool made_anew =
      is_made_anew<typename Container::hasher>() && is_made_anew<typename Container::key_equal>();
};
template <Ordered Container>
struct FunctorsOf<Container> {
  using type = Types<Functor<typename Container::key_compare>,
                     Allocator<typename Container::allocator_type>>;
  static constexpr bool made_anew = is_made_anew<typename Container::key_compare>();
};

template <class Container>
void save_functors(Sink& out, Container const& value) {
  if constexpr (Ordered<Container>) {
    save_functor<typename Container::key_compare>(out, value.key_comp());
  } else {
    save_functor<typename Container::hasher>(out, value.hash_function());
    save_functor<typename Container::key_equal>(out, value.key_eq());
  }
}

// An empty container that goes by what comes next in the message. What has been copied into it has
// no address that anything later may refer to.
template <class Container>
Container make_with_functors(Source& in) {
  auto const mark = in.mark();
  auto const forget = [&](auto const& copied) {
    in.lost_outside(mark, std::addressof(copied), sizeof(copied));
    in.moved(mark, std::addressof(copied), nullptr, sizeof(copied));
  };
  if constexpr (Ordered<Container>) {
    auto const compare = make_functor<typename Container::key_compare>(in);
    forget(compare);
    return Container(compare);
  } else {
    auto const hash = make_functor<typename Container::hasher>(in);
    auto const equal = make_functor<typename Container::key_equal>(in);
    forget(hash);
    forget(equal);
    return Container(0, hash, equal);
  }
}

}  // namespace procpool::inline v0_1::detail
