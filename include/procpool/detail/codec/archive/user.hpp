// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Values whose type has its own `serialize`, and the values that such code hands to an archive:
// wrappers, raw pointers, C arrays, std types, plain structs. Versions are not sent: both ends are
// one build, and `version` is BOOST_CLASS_VERSION's on both.
//
// In front of a value whose class is not `track_never` stands one byte: 0 untracked, 1 tracked, 2
// the number of the same object met before. Tracked are, as in Boost, classes that the program also
// serializes through pointers.
//
// A value of a class without a default constructor stands behind its construct data. Users' code
// that hands such a value to an archive has it there already, so it is written and read alone.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <typeinfo>

#include <boost/serialization/serialization.hpp>

#include <procpool/detail/codec/archive/archives.hpp>
#include <procpool/detail/codec/archive/assert.hpp>

// Traits and wrappers of Boost.Serialization. A source that has not included the header of a trait
// has not specialized it either, so the default holds.
namespace boost::serialization {
class collection_size_type;
class item_version_type;
template <class T>
class nvp;
template <class T>
class array_wrapper;
template <class T>
struct version;
template <class T>
struct tracking_level;
template <class T>
struct is_wrapper;
}  // namespace boost::serialization

namespace procpool::inline v0_1::detail {

template <class T>
consteval unsigned boost_version() {
  if constexpr (requires { boost::serialization::version<T>::value; }) {
    return boost::serialization::version<T>::value;
  } else {
    return 0;
  }
}

template <class T>
consteval bool is_boost_wrapper() {
  if constexpr (requires { boost::serialization::is_wrapper<T>::type::value; }) {
    return boost::serialization::is_wrapper<T>::type::value;
  } else {
    return false;
  }
}

// The values of boost::serialization::tracking_type.
enum class Tracking { never = 0, selectively = 1, always = 2 };

template <class T>
consteval Tracking tracking_of() {
  if constexpr (requires { boost::serialization::tracking_level<T>::value; }) {
    return static_cast<Tracking>(int{boost::serialization::tracking_level<T>::value});
  } else {
    return Tracking::selectively;
  }
}

template <class T>
inline constexpr bool never_tracked = tracking_of<T>() == Tracking::never;

// Does the program also serialize objects of the class through pointers? Known before main: code
// that does mentions marked_through_pointers.
template <class T>
inline bool through_pointers = false;
template <class T>
inline bool const marked_through_pointers = (through_pointers<T> = true);

template <class T>
bool tracked_when_saved() {
  return tracking_of<T>() == Tracking::always || through_pointers<T>;
}

enum class ByValue : std::uint8_t { untracked = 0, tracked = 1, known = 2 };

// The user's code itself, without anything around it.
template <class T>
void call_save(OutputArchive& archive, T const& value) {
  boost::serialization::serialize_adl(archive, const_cast<T&>(value), boost_version<T>());
}
template <class T>
void call_load(InputArchive& archive, T& value) {
  boost::serialization::serialize_adl(archive, value, boost_version<T>());
}

template <class T>
void save_user(Sink& out, T const& value) {
  auto& archive = out.archive();
  if constexpr (is_boost_wrapper<T>()) {
    call_save(archive, value);
  } else {
    Level level(out);
    if constexpr (!never_tracked<T>) {
      if (!tracked_when_saved<T>()) {
        out.scalar(ByValue::untracked);
      } else if (auto const* known = archive.find(std::addressof(value), typeid(T))) {
        if (known->by_pointer) {
          refuse_class("is saved by value after a pointer to it was: save the value first:",
                       typeid(T).name());
        }
        out.scalar(ByValue::known);
        out.scalar(known->number);
        return;
      } else {
        out.scalar(ByValue::tracked);
        archive.add(std::addressof(value), typeid(T), false);
      }
    }
    call_save(archive, value);
  }
}

template <class T>
void save_construction(Sink& out, T const& value) {
  boost::serialization::save_construct_data_adl<OutputArchive, T>(
      out.archive(), std::addressof(value), boost_version<T>());
}

template <class T>
void load_user(Source& in, T& value) {
  auto& archive = in.archive();
  if constexpr (is_boost_wrapper<T>()) {
    call_load(archive, value);
  } else {
    Level level(in);
    if constexpr (!never_tracked<T>) {
      switch (in.scalar<ByValue>()) {
        case ByValue::untracked: break;
        case ByValue::tracked:
          archive.add(std::addressof(value), typeid(T), sizeof(T), true,
                      InputArchive::Owner::embedded);
          break;
        case ByValue::known: {
          // The same object once more: loaded already, if it is this one.
          std::size_t number = 0;
          auto const& object = archive.read_reference(number);
          if (*object.type != typeid(T)) {
            refuse("procpool: a message refers to an object of another class");
          }
          return;
        }
        default: refuse("procpool: a message tracks an object in an unknown way");
      }
    }
    call_load(archive, value);
  }
}

// --- what users' code hands to an archive --------------------------------------------------------

template <class T>
inline constexpr bool is_nvp = false;
template <class T>
inline constexpr bool is_nvp<boost::serialization::nvp<T>> = true;
template <class T>
inline constexpr bool is_array_wrapper = false;
template <class T>
inline constexpr bool is_array_wrapper<boost::serialization::array_wrapper<T>> = true;

// Boost's counts and version words are classes around an integer.
template <class T>
concept BoostVersion = std::same_as<T, boost::serialization::item_version_type> ||
                       std::same_as<T, boost::serialization::library_version_type> ||
                       std::same_as<T, boost::serialization::version_type>;

template <class T>
consteval void check_pointer_in_user_code() {
  using U = std::remove_cv_t<std::remove_pointer_t<T>>;
  static_assert(
      !std::is_void_v<U> && !std::is_function_v<U>,
      "procpool: a raw pointer to void or to a function cannot be serialized, also not inside "
      "serialize");
  static_assert(
      !Scalar<U> && !std::is_pointer_v<U>,
      "procpool: a raw pointer to a fundamental type cannot be serialized: nobody knows how "
      "many elements there are. Use std::string or std::vector, or make_array");
}

template <class T>
void save_pointer(Sink& out, T const* pointer);
template <class T>
void load_raw(Source& in, T*& pointer);

template <class T>
void OutputArchive::save_override(T const& value) {
  if constexpr (is_nvp<T>) {
    save_override(value.const_value());
  } else if constexpr (is_array_wrapper<T>) {
    using U = std::remove_cv_t<std::remove_pointer_t<decltype(value.address())>>;
    if constexpr (fixed_size<U> != 0) {
      sink_.write(value.address(), value.count() * sizeof(U));
    } else {
      for (std::size_t i = 0; i < value.count(); ++i) save_override(value.address()[i]);
    }
  } else if constexpr (std::same_as<T, boost::serialization::collection_size_type>) {
    sink_.count(value);
  } else if constexpr (BoostVersion<T>) {
    sink_.scalar(static_cast<std::uint32_t>(value));
  } else if constexpr (std::is_array_v<T>) {
    for (auto const& element : value) save_override(element);
  } else if constexpr (std::is_pointer_v<T>) {
    check_pointer_in_user_code<T>();
    Level level(sink_);
    detail::save_pointer<std::remove_cv_t<std::remove_pointer_t<T>>>(sink_, value);
  } else if constexpr (UserType<T>) {
    save_user(sink_, value);
  } else {
    save_value<T>(sink_, value);
  }
}

template <class T>
void InputArchive::load_override(T& value) {
  if constexpr (is_nvp<T>) {
    load_override(value.value());
  } else if constexpr (is_array_wrapper<T>) {
    using U = std::remove_cv_t<std::remove_pointer_t<decltype(value.address())>>;
    if constexpr (bitwise<U>) {
      if (value.count() > source_.remaining() / sizeof(U)) refuse_length();
      source_.read(static_cast<void*>(value.address()), value.count() * sizeof(U));
    } else {
      for (std::size_t i = 0; i < value.count(); ++i) load_override(value.address()[i]);
    }
  } else if constexpr (std::same_as<T, boost::serialization::collection_size_type>) {
    // The caller is about to reserve room for so many elements of at least one byte, or nearly none.
    auto const count = source_.scalar<std::uint64_t>();
    if (count > source_.remaining()) {
      if (count > weightless_limit) refuse_length();
      source_.charge_weightless(static_cast<std::size_t>(count));
    }
    value = T(static_cast<std::size_t>(count));
  } else if constexpr (BoostVersion<T>) {
    value = T(source_.scalar<std::uint32_t>());
  } else if constexpr (std::is_array_v<T>) {
    for (auto& element : value) load_override(element);
  } else if constexpr (std::is_pointer_v<T>) {
    check_pointer_in_user_code<T>();
    Level level(source_);
    using U = std::remove_cv_t<std::remove_pointer_t<T>>;
    U* target = nullptr;
    value = nullptr;
    detail::load_raw(source_, target);
    value = target;
  } else if constexpr (fixed_size<T> != 0) {
    load_value(source_, value);
  } else {
    auto const first = objects();
    if constexpr (UserType<T>) {
      load_user(source_, value);
    } else {
      load_value(source_, value);
    }
    recent_ = first;
  }
}

}  // namespace procpool::inline v0_1::detail
