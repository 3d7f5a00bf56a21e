// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What kind of type is this to the codec? Compile-time only. The one delicate question is whether
// the user wrote a `serialize`: the automatic handling of plain structs must never shadow it.

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <boost/mpl/bool.hpp>
#include <boost/serialization/access.hpp>
#include <boost/serialization/serialization.hpp>

#include <procpool/detail/codec/archive/bindings.hpp>

namespace procpool::inline v0_1 {

/// Say `template <> inline constexpr bool procpool::as_bytes<X> = true;` to let the trivially
/// copyable type X (with a union or private members, say) be sent as its object bytes, padding
/// included and unchecked: every pattern of bytes must be a value, and no address may be in it.
template <class T>
inline constexpr bool as_bytes = false;

}  // namespace procpool::inline v0_1

namespace procpool::inline v0_1::detail {

class OutputArchive;
class InputArchive;

// The serialized form of a std type: specialized for each in containers.hpp and its siblings.
template <class T>
struct StdCodec;

template <class T>
concept HasStdCodec = requires { typename StdCodec<T>::Parts; };

// Boolean, integral, floating point and enumeration types, and the 128-bit integers, which are none
// of these where the language is taken to the letter.
__extension__ using Int128 = __int128;
__extension__ using UnsignedInt128 = unsigned __int128;

template <class T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T> || std::same_as<T, Int128> ||
                 std::same_as<T, UnsignedInt128>;

template <class T>
concept AsBytes = as_bytes<T>;

// --- has the user written a serialize? -----------------------------------------------------------

struct NamesSerialize {
  void serialize();
};

// Lookup of a member name is done before access is checked, so an ambiguity betrays also a private
// `serialize` (with `friend class boost::serialization::access`).
template <class T>
struct WithNamesSerialize : T, NamesSerialize {};

template <class T>
concept LacksNameSerialize = requires { &WithNamesSerialize<T>::serialize; };

template <class T>
concept CallsMemberSerialize = requires(T& value, OutputArchive& archive) {
  value.serialize(archive, 0u);
} || requires(T& value, InputArchive& archive) { value.serialize(archive, 0u); };

// A public member of that name that cannot take an archive: something else that is called so.
template <class T>
concept HasUnrelatedSerialize = requires { &T::serialize; } && !CallsMemberSerialize<T>;

template <class T>
consteval bool has_member_serialize() {
  if constexpr (CallsMemberSerialize<T>) {
    return true;
  } else if constexpr (std::is_union_v<T> || std::is_final_v<T>) {
    return false;
  } else {
    return !LacksNameSerialize<T> && !HasUnrelatedSerialize<T>;
  }
}

// Overloads beside the type are found by a call that does not look into boost::serialization (where
// Boost's own fallback accepts everything).
template <class T>
concept CallsFreeSerialize = requires(T& value, OutputArchive& archive) {
  serialize(archive, value, 0u);
} || requires(T& value, InputArchive& archive) { serialize(archive, value, 0u); };

}  // namespace procpool::inline v0_1::detail

// Overloads in boost::serialization compete there with Boost's fallback, which a plain "is it
// callable" cannot tell from the user's. This overload, found through the archive it belongs to,
// beats the fallback (it is more constrained) and loses to everything that is more specialised: if
// a call yields its marker, there is no code of the user. An ambiguous call means that there is.
namespace procpool::inline v0_1::detail::probe {

struct Marker {};

struct Archive {
  using is_saving = boost::mpl::bool_<true>;
  using is_loading = boost::mpl::bool_<false>;
};

template <class A, class T>
  requires(sizeof(T) > 0)  // NOLINT(bugprone-sizeof-expression): T is complete
Marker serialize(A&, T&, unsigned);

template <class A, class T>
  requires(sizeof(T) > 0)  // NOLINT(bugprone-sizeof-expression): T is complete
Marker load_construct_data(A&, T*, unsigned);

template <class T>
concept NobodyWrote = requires(Archive& archive, T& value, boost::serialization::version_type v) {
  { serialize(archive, value, v) } -> std::same_as<Marker>;
};

template <class T>
concept NobodyConstructs = requires(Archive& archive, T* at, boost::serialization::version_type v) {
  { load_construct_data(archive, at, v) } -> std::same_as<Marker>;
};

}  // namespace procpool::inline v0_1::detail::probe

namespace procpool::inline v0_1::detail {

template <class T>
consteval bool has_own_serialize() {
  if constexpr (!std::is_class_v<T> && !std::is_union_v<T>) {
    return false;
  } else if constexpr (HasStdCodec<T>) {
    return false;
  } else {
    return has_member_serialize<T>() || CallsFreeSerialize<T> || !probe::NobodyWrote<T>;
  }
}

template <class T>
concept UserType = has_own_serialize<T>();

// Without a default constructor, but with a load_construct_data of the user's, which constructs one
// in a place: a value of the type is constructed by that. (With both, only what is behind a pointer
// is, as in Boost.)
template <class T>
concept ConstructedByUser =
    UserType<T> && !std::default_initializable<T> && (requires(InputArchive& archive, T* at) {
      load_construct_data(archive, at, 0u);
    } || !probe::NobodyConstructs<T>);

}  // namespace procpool::inline v0_1::detail
