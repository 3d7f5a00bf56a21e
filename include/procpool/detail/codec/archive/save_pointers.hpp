// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Objects behind pointers, written: once each, with their true class; then by number. Runs on the
// thread that encodes; a class that cannot be named on the other side is refused.

#include <memory>
#include <type_traits>
#include <typeinfo>

#include <procpool/detail/codec/archive/user.hpp>

namespace procpool::inline v0_1::detail {

// The object itself, of a class with its own `serialize`.
template <class T>
void save_object(OutputArchive& archive, T const& whole) {
  // The class is marked, so that its objects are tracked by value too.
  static_cast<void>(&marked_through_pointers<T>);
  boost::serialization::save_construct_data_adl<OutputArchive, T>(archive, std::addressof(whole),
                                                                  boost_version<T>());
  call_save(archive, whole);
}

template <class T>
void save_fresh(OutputArchive& archive, T const& whole) {
  if constexpr (UserType<T>) {
    save_object(archive, whole);
  } else {
    save_value<T>(archive.sink(), whole);
  }
}

PROCPOOL_API bool save_known(OutputArchive& archive, void const* address,
                             std::type_info const& type);

// An object of the class `type`, which is derived from that of the pointer.
PROCPOOL_API void save_derived(OutputArchive& archive, std::type_info const& type,
                               std::type_info const& base, void const* part);

template <class T>
void save_pointer(Sink& out, T const* pointer) {
  auto& archive = out.archive();
  if (pointer == nullptr) {
    out.scalar(Tag::null);
    return;
  }
  if constexpr (std::is_polymorphic_v<T>) {
    auto const& type = typeid(*pointer);
    if (type != typeid(T)) return save_derived(archive, type, typeid(T), pointer);
  }
  if constexpr (!std::is_abstract_v<T>) {
    constexpr bool tracked = !never_tracked<T> || !UserType<T>;
    if (tracked && save_known(archive, pointer, typeid(T))) return;
    archive.add(tracked ? pointer : nullptr, typeid(T), true);
    out.scalar(Tag::fresh);
    save_fresh(archive, *pointer);
  }
}

}  // namespace procpool::inline v0_1::detail
