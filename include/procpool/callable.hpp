#pragma once

// What can be called in a worker, and the ways to make more of it.
//
//   pool.map<f>(xs)                     a function as template argument: free or static, a template
//                                       instance, a const member function or a data member (called on
//                                       a copy of the object), a captureless lambda
//   pool.map(f, xs)                     a pointer to a function or a member, known at run time only
//   pool.map([](int x) {...}, xs)       a captureless lambda, also a generic one
//   pool.map(Scale{2.5}, xs)            an object with a const operator(); its members travel, once
//                                       per worker
//   pool.map(bind_back(f, 2), xs)       arguments fixed in front or behind
//   pool.map(by_value([k](int x) {...}), xs)  a lambda whose captures are plain values
//
// A lambda with captures cannot travel by itself: nobody can see what it captured. Overload sets and function
// templates have no single address: wrap them in a captureless lambda.
//
// Everything here is a value; any thread may make and copy it.

#include <concepts>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/detail/call/bound.hpp>
#include <procpool/detail/call/callable_state.hpp>

namespace procpool::inline v0 {

/// A function, member function or captureless lambda as a callable type of its own: fn<f>. For generic
/// code, where pool.map(fn<f>, xs) reads better than pool.template map<f>(xs).
template <auto F>
inline constexpr detail::FunctionConstant<F> fn{};

/// A lambda with captures, or another trivially copyable object, as its bytes. Saying so is a promise
/// that nobody can check: that what it captured are plain values, with no pointer, no reference and no
/// view among them. Those would point to where over there something else is, or nothing.
template <class L>
detail::BytesOf<L> by_value(L callable) {
  static_assert(std::is_trivially_copyable_v<L>,
                "procpool: this lambda captured something that is more than its bytes (a "
                "std::string, a std::vector, ...): use bind_front or bind_back, or write a struct "
                "with operator() whose members can travel");
  return {std::move(callable)};
}

/// True if objects of this type can be called in a worker.
template <class C>
concept RemoteCallable = detail::has_callable_state<std::decay_t<C>>;

/// A callable that calls `callable` with these arguments ahead of its own. They are converted to the
/// parameter types, where those can be told, and travel once per worker.
template <class C, class... Args>
auto bind_front(C callable, Args&&... args) {
  return detail::bind<true>(std::move(callable), std::forward<Args>(args)...);
}
template <auto F, class... Args>
auto bind_front(Args&&... args) {
  return detail::bind<true>(fn<F>, std::forward<Args>(args)...);
}

/// The same with the arguments behind its own: pool.map(bind_back(power, 3), xs) calls power(x, 3).
template <class C, class... Args>
auto bind_back(C callable, Args&&... args) {
  return detail::bind<false>(std::move(callable), std::forward<Args>(args)...);
}
template <auto F, class... Args>
auto bind_back(Args&&... args) {
  return detail::bind<false>(fn<F>, std::forward<Args>(args)...);
}

}  // namespace procpool::inline v0
