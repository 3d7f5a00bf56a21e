#pragma once

// What may travel between processes, and how a type says so. Declarations and traits only: next to
// nothing of Boost.Serialization is included here (detail/codec/codec.hpp does that). Nothing runs or can
// fail.
//
// What travels with no code of yours
//   - arithmetic types, enums, std::byte
//   - std::string and its kin, vector, deque, list, forward_list, array, set, map, their multi and
//     unordered kin, stack, queue, priority_queue, optional, variant, monostate, pair, tuple, bitset, complex, chrono durations
//     and time points, filesystem::path
//     What a container goes by (a comparator, a hash) is part of its value: it travels if it has a
//     state, and is refused if that cannot travel. std::pmr containers arrive with the default
//     resource, others with a new allocator; one with a state is refused.
//   - std::unique_ptr, std::shared_ptr and std::weak_ptr to anything that travels; within one
//     message two shared_ptr to one object arrive as two shared_ptr to one object, cycles included
//   - plain structs (aggregates without base classes and unions) of up to 104 such members, which
//     may be const, only movable, C arrays and bit-fields
//   - a trivially copyable type that you have declared to be its bytes:
//     `template <> inline constexpr bool procpool::as_bytes<X> = true;`
//
// What travels with code of yours: whatever Boost.Serialization accepts. A member
// `template <class A> void serialize(A& ar, unsigned version)`, private with
// `friend class boost::serialization::access` if you like, split into save and load if you like; a
// free `serialize` beside the type or in namespace boost::serialization; BOOST_CLASS_VERSION;
// BOOST_CLASS_EXPORT for polymorphic pointers (include detail/codec/codec.hpp before it). Such code
// always wins over the automatic handling, also for plain structs; only the std types above are
// never asked.
// A type with `serialize` must be default constructible when it travels by value; behind a pointer
// `load_construct_data` does what it does in Boost.
//
// What does not travel: raw pointers and references outside your own `serialize`, views
// (string_view, span), functions, locks, threads, std::any; classes with private members,
// constructors, bases or unions and no `serialize`. The compiler says so, and why, in one sentence.
//
// Bounds that a reader enforces: 512 levels of nesting, and no more than the stack allows; 2^20 bytes of container elements that need
// no bytes on the way (empty structs, monostate) per message.

#include <procpool/detail/codec/archive/type_check.hpp>

namespace procpool::inline v0 {

/// The archives that a `serialize` meets; useful to define it in a source file and instantiate it
/// there explicitly. Both follow Boost's archive concepts; see detail/codec/codec.hpp for the
/// definitions.
using OutputArchive = detail::OutputArchive;
using InputArchive = detail::InputArchive;

/// True if a T can be encoded and decoded. For a type with its own `serialize` that code is taken
/// at its word: what it serializes is checked when it is compiled.
template <class T>
concept Transmissible = detail::serializable<T>;

}  // namespace procpool::inline v0
