// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The types of arguments and results, and the ways to give a type a serialized form. Declarations
// and traits only: nothing runs or can fail.
//
// Serialized with no code of yours:
//   - arithmetic types, enums, std::byte
//   - std::string and its variants, vector, deque, list, forward_list, array, valarray, set, map,
//     their multi and unordered variants, stack, queue, priority_queue, optional, boost::optional,
//     expected, variant, monostate, pair, tuple, bitset, complex, chrono durations, time points,
//     hh_mm_ss, calendar types, filesystem::path, error_code, error_condition, the engines of
//     <random>. The comparator or hash of a container is part of its value. A functor with a state
//     is serialized, and is refused if that is not possible. std::pmr containers arrive with the
//     default resource, others with a new allocator. An allocator with a state is refused.
//   - std::atomic, as its value, where it need not move: behind a pointer, in a map, list or deque
//   - std::unique_ptr, std::shared_ptr and std::weak_ptr to any type of this list. Within one
//     message two shared_ptr to one object arrive as two shared_ptr to one object, cycles included.
//   - plain structs (aggregates without unions) of up to 104 such members, which may be const, only
//     movable, C arrays and bit-fields; all of them in one class, the struct or its only base, beside
//     which there may be empty bases
//   - a trivially copyable type that you have declared to be its bytes: `template <> inline
//     constexpr bool procpool::as_bytes<X> = true;`
//
// Serialized with code of yours: every type that Boost.Serialization accepts. Such code is a member
// `template <class A> void serialize(A& ar, unsigned version)`, private with `friend class
// boost::serialization::access` if you like, split into save and load if you like. It may be a free
// `serialize` beside the type or in namespace boost::serialization. BOOST_CLASS_VERSION and
// BOOST_CLASS_EXPORT for polymorphic pointers work (include detail/codec/codec.hpp before the
// latter). Code of yours always wins over the automatic handling, also for plain structs. Only the
// std types above are never asked. A type with `serialize` that is sent by value has a default
// constructor or a `load_construct_data`, which behind a pointer does what it does in Boost.
//
// Not serialized: raw pointers and references outside your own `serialize`, views (string_view,
// span), unique_ptr<T[]>, functions, locks, threads, std::any; classes with private members,
// constructors, members in several classes, or unions, and no `serialize`. The compiler says so, and
// why, in one sentence.
//
// A reader enforces bounds: 512 levels of nesting, and no more than the stack allows; 2^20 bytes
// per message of container elements that need no bytes (empty structs, monostate).

#include <procpool/detail/codec/archive/type_check.hpp>

namespace procpool::inline v0_1 {

/// The archives that a `serialize` meets; useful to define it in a source file and instantiate it
/// there explicitly. Both follow Boost's archive concepts; see detail/codec/codec.hpp for the
/// definitions.
using OutputArchive = detail::OutputArchive;
/// See OutputArchive.
using InputArchive = detail::InputArchive;

/// True if a T can be encoded and decoded. A type with its own `serialize` counts as such: its
/// members are checked when that code is compiled.
template <class T>
concept Transmissible = detail::serializable<T>;

}  // namespace procpool::inline v0_1
