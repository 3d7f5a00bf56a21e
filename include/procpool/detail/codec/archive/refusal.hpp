// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The reasons why a type cannot be serialized, and the reason for a class that says nothing.
// Compile-time only. The sentences are in assert.hpp.

#include <type_traits>

#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace procpool::inline v0_1::detail {

enum class Refusal {
  none,
  // Values that mean something in this process only.
  raw_pointer,
  function,
  callable,
  reference,
  view,
  lock,
  atomic,
  of_process,
  process,
  actor,
  // Pointers and arrays whose extent or ways nobody knows.
  c_array,
  array_pointer,
  deleter,
  polymorphic,
  // Classes that are not open to everybody.
  base_class,
  union_type,
  too_many,
  uncountable,
  not_made,
  virtual_functions,
  no_constructor,
  closed,
  std_type,
  // What goes with a container.
  functor,
  allocator,
  // Types with a serialized form that is not complete.
  no_default,
  not_movable,
  not_trivial,
  no_way
};

// Why a class without a serialized form cannot be taken apart, as far as can be told from outside.
template <class T>
consteval Refusal why_not_open() {
  if constexpr (!std::is_class_v<T>) {
    return Refusal::no_way;
  } else if constexpr (requires(T& t) { t.is_lock_free(), t.load(); }) {
    return Refusal::atomic;
  } else if constexpr (
      requires(T& t) { t.lock(), t.unlock(); } ||
      requires(T& t) { t.notify_one(), t.notify_all(); } ||
      requires(T& t) { t.acquire(), t.release(); }) {
    return Refusal::lock;
  } else if constexpr (requires(T& t) { t.pid(), t.incarnation(); }) {
    return Refusal::actor;
  } else if constexpr (requires(T& t) { t.pid(), t.join(); }) {
    return Refusal::process;
  } else if constexpr (
      requires(T& t) { t.joinable(), t.join(); } || requires(T& t) { t.valid(), t.wait(); } ||
      requires(T& t) { t.rdbuf(); }) {
    return Refusal::of_process;
  } else if constexpr (!std::is_same_v<std::unwrap_reference_t<T>, T>) {
    return Refusal::reference;
  } else if constexpr (requires { &T::operator(); }) {
    return Refusal::callable;
  } else if constexpr (StdClass<T>) {
    return Refusal::std_type;
  } else if constexpr (std::is_polymorphic_v<T>) {
    return Refusal::virtual_functions;
  } else if constexpr (!std::is_default_constructible_v<T>) {
    return Refusal::no_constructor;
  } else {
    return Refusal::closed;
  }
}

}  // namespace procpool::inline v0_1::detail
