// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Callables for workers, and the ways to make more of them.
//
//   pool.map<f>(xs)                  a function as template argument: free or static, a template
//                                    instance, a const member function or a data member (called on a
//                                    copy of the object), a captureless lambda
//   pool.map(f, xs)                  a pointer to a function or a member, known at run time only
//   pool.map([](int x) {...}, xs)    a captureless lambda, also a generic one
//   pool.map(Scale{2.5}, xs)         an object with a const operator(); its members are sent, once per
//                                    worker
//   pool.map(bind_back(f, 2), xs)    arguments fixed in front or behind
//   pool.map(by_value([k](int x) {...}), xs)
//                                    a lambda whose captures are plain values
//
// A lambda with captures cannot be sent by itself, because its captures cannot be seen. Overload
// sets and function templates have no single address: wrap them in a captureless lambda.
//
// Everything here is a value; any thread may make and copy it.

#include <concepts>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/call/bound.hpp>
#include <procpool/detail/call/callable_state.hpp>

namespace procpool::inline v0_1 {

/// A function, member function or captureless lambda as a callable type of its own: fn<f>. For
/// generic code, in which pool.map(fn<f>, xs) reads better than pool.template map<f>(xs).
template <auto F>
inline constexpr detail::FunctionConstant<F> fn{};

/// A lambda with captures, or another trivially copyable object, as its bytes. The caller promises
/// that the captures are plain values, with no pointer, reference or view among them. That cannot
/// be checked. In the worker such an address would lead to other data, or to none.
template <class L>
detail::BytesOf<L> by_value(L callable) {
  static_assert(std::is_trivially_copyable_v<L>,
                "procpool: this lambda captured something that is more than its bytes (a "
                "std::string, a std::vector, ...): use bind_front or bind_back, or write a struct "
                "with operator() whose members can be serialized");
  return {std::move(callable)};
}

/// True if objects of this type can be called in a worker.
template <class C>
concept RemoteCallable = detail::has_callable_state<std::decay_t<C>>;

/// A callable that calls `callable` with these arguments ahead of its own. They are converted to
/// the parameter types, if those are known, and are sent once per worker. Does not block; throws
/// only the exceptions of copying and converting.
template <class C, class... Args>
auto bind_front(C callable, Args&&... args) {
  return detail::bind<true>(std::move(callable), std::forward<Args>(args)...);
}
template <auto F, class... Args>
auto bind_front(Args&&... args) {
  return detail::bind<true>(fn<F>, std::forward<Args>(args)...);
}

/// As bind_front, with the arguments behind its own: pool.map(bind_back(power, 3), xs) calls
/// power(x, 3).
template <class C, class... Args>
auto bind_back(C callable, Args&&... args) {
  return detail::bind<false>(std::move(callable), std::forward<Args>(args)...);
}
template <auto F, class... Args>
auto bind_back(Args&&... args) {
  return detail::bind<false>(fn<F>, std::forward<Args>(args)...);
}

}  // namespace procpool::inline v0_1
