// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The sentences with which a type is refused at compile time. `not_serializable<Whole, Part, ...>`
// in the compiler's message names the type and the part of it that is the cause.

#include <procpool/detail/codec/archive/type_check.hpp>

namespace procpool::inline v0_1::detail {

template <class Whole, class Part, Refusal R>
struct not_serializable {
  static_assert(
      R != Refusal::raw_pointer,
      "procpool: this type cannot be serialized: it holds a raw pointer, which means nothing "
      "in another process. Use std::unique_ptr, std::shared_ptr or std::vector, or "
      "write serialize");
  static_assert(
      R != Refusal::function,
      "procpool: this type cannot be serialized: a function pointer is not a value. Pass the "
      "function as the callable of the call");
  static_assert(
      R != Refusal::callable,
      "procpool: this type cannot be serialized: nobody can see what a callable (a lambda "
      "with captures, std::function) holds. Write a struct with operator() and what "
      "it needs as members");
  static_assert(
      R != Refusal::reference,
      "procpool: this type cannot be serialized: a reference (or a struct with a member that "
      "is one) means nothing in another process. Send the value");
  static_assert(
      R != Refusal::view,
      "procpool: this type cannot be serialized: a view (string_view, span) refers to memory "
      "of this process. Use std::string or std::vector");
  static_assert(R != Refusal::lock,
                "procpool: this type cannot be serialized: a mutex, a condition or whatever else "
                "threads meet at is of one process. Leave it out, or write serialize for the "
                "type that holds it");
  static_assert(R != Refusal::atomic,
                "procpool: this type cannot be serialized: an atomic that is no std::atomic (a "
                "std::atomic_ref, say) refers to an object of this process, or does not tell its "
                "type. Send its value, or write serialize for the type that holds it");
  static_assert(
      R != Refusal::of_process,
      "procpool: this type cannot be serialized: a thread, a future or a stream is of one "
      "process. Leave it out, or write serialize for the type that holds it");
  static_assert(
      R != Refusal::process,
      "procpool: this type cannot be serialized: a Process is joined and signalled by the program "
      "that made it. Send what it should be told, or its pid()");
  static_assert(
      R != Refusal::actor,
      "procpool: this type cannot be serialized: an Actor is called by the program that made it. "
      "Give the task a Queue that the actor reads, or return what the actor should be told");
  static_assert(
      R != Refusal::c_array,
      "procpool: this type cannot be serialized: a C array is no value of its own, and one "
      "of unknown extent not even a member. Use std::array or std::vector");
  static_assert(
      R != Refusal::array_pointer,
      "procpool: this type cannot be serialized: std::unique_ptr<T[]> and std::shared_ptr<T[]> do "
      "not know how many elements there are, and a pointer to void not even what they are. Use "
      "std::vector, or a pointer to a std::array");
  static_assert(R != Refusal::deleter,
                "procpool: this type cannot be serialized: a std::unique_ptr with a deleter of its "
                "own. Use the default deleter, or write serialize for the type that holds it");
  static_assert(
      R != Refusal::polymorphic,
      "procpool: this type cannot be serialized: a pointer to a polymorphic class needs the "
      "class's own serialize, and BOOST_CLASS_EXPORT for each derived class");
  static_assert(
      R != Refusal::base_class,
      "procpool: this type cannot be serialized: a struct with base classes is plain only if one "
      "of these classes has all the members, and a base that has them is the only one and plain. "
      "Make the base a member, or write serialize");
  static_assert(
      R != Refusal::union_type,
      "procpool: this type cannot be serialized: nobody knows which member of a union (also "
      "one without a name in a struct) is alive. Use std::variant, or write "
      "serialize; if the type is trivially copyable and means the same everywhere, "
      "say procpool::as_bytes<T> = true");
  static_assert(
      R != Refusal::too_many,
      "procpool: this type cannot be serialized: this struct has more than 104 members. Put "
      "some of them into structs of their own, or write serialize; if it is trivially "
      "copyable, procpool::as_bytes<T> = true will do");
  static_assert(
      R != Refusal::uncountable,
      "procpool: this type cannot be serialized: nobody can tell the members of this struct: "
      "one of them is a reference, or can be made of nothing but one certain type. "
      "Write serialize; if it is trivially copyable and holds no address, "
      "procpool::as_bytes<T> = true will do");
  static_assert(R != Refusal::not_made,
                "procpool: this type cannot be serialized: with a const member, a bit-field or a "
                "member without a default constructor a struct is made of all its members at "
                "once, which its members, or C arrays of more than 256 elements in it, do not "
                "allow. Use std::array, or write serialize; if it is trivially copyable, "
                "procpool::as_bytes<T> = true will do");
  static_assert(
      R != Refusal::virtual_functions,
      "procpool: this type cannot be serialized: it has virtual functions, so it is no plain "
      "struct. Write serialize for it, as for Boost.Serialization");
  static_assert(R != Refusal::no_constructor,
                "procpool: this type cannot be serialized: it has a constructor with arguments and "
                "none without, so it is no plain struct. Without the constructor it may be one; "
                "otherwise write serialize and a default constructor");
  static_assert(R != Refusal::closed,
                "procpool: this type cannot be serialized: it has private members, or declares a "
                "constructor (one that is defaulted is one), or has a private or virtual base, "
                "so it is no plain struct. Write serialize for it, as for Boost.Serialization; "
                "if it is trivially copyable and holds no address, procpool::as_bytes<T> = true "
                "will do");
  static_assert(
      R != Refusal::std_type,
      "procpool: this type cannot be serialized: it is a type of the standard library that "
      "does not. docs/guide.md lists those that do; write serialize for the type that "
      "holds it");
  static_assert(
      R != Refusal::functor,
      "procpool: this type cannot be serialized: the comparator or hash of a container is "
      "part of its value, and this one has no state that can be serialized: it is a function "
      "pointer, a reference, a lambda with captures, or has no default constructor. "
      "Use a struct with operator(): an empty one, or one with plain members");
  static_assert(
      R != Refusal::allocator,
      "procpool: this type cannot be serialized: the allocator of a container has a state of "
      "its own, which nobody can send. Use std::allocator, or a stateless one");
  static_assert(R != Refusal::no_default,
                "procpool: this type cannot be serialized: it has its own serialize but no default "
                "constructor. Add one, or write load_construct_data and save_construct_data for "
                "it, as for Boost.Serialization");
  static_assert(
      R != Refusal::not_movable,
      "procpool: this type cannot be serialized: it (or a member, as a std::atomic) can be neither "
      "moved nor copied. Send it behind a std::unique_ptr");
  static_assert(
      R != Refusal::not_trivial,
      "procpool: this type cannot be serialized: procpool::as_bytes is only for trivially "
      "copyable types. Write serialize");
  static_assert(R != Refusal::no_way,
                "procpool: this type cannot be serialized: it is neither a plain struct nor a "
                "supported std type. Write serialize for it, as for Boost.Serialization");
  static constexpr bool value = false;
};

template <class Whole, class Part>
struct not_serializable<Whole, Part, Refusal::none> {
  static constexpr bool value = true;
};

// Compiles if a T can be serialized. Otherwise fails with one sentence that names T and the
// culprit.
template <class T>
constexpr bool assert_transmissible() {
  return not_serializable<T, typename type_check_t<T>::culprit, type_check_t<T>::refusal>::value;
}

template <class T>
void refuse_type() {
  static_assert(assert_transmissible<T>());
}

}  // namespace procpool::inline v0_1::detail
