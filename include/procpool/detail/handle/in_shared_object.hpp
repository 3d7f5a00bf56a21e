// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Which types may be those of a SharedObject: those that hold no pointer, as far as can be seen. A
// class with private members may hold one, see SharedObject::find_raw_pointer. Compile-time only.

#include <cstdint>
#include <memory>
#include <type_traits>

#include <procpool/detail/codec/archive/type_check.hpp>
#include <procpool/detail/handle/has_handles.hpp>

namespace procpool::inline v0_1::detail {

enum class ObjectRefusal : std::uint8_t { none, polymorphic, pointer, container, of_process };

template <class T, class... Seen>
consteval ObjectRefusal refusal_in_object();

template <class... Seen, class... Parts>
consteval ObjectRefusal refusal_in_object_of(Types<Parts...>) {
  ObjectRefusal first = ObjectRefusal::none;
  (void)((first = refusal_in_object<std::remove_cv_t<Parts>, Seen...>(),
          first != ObjectRefusal::none) ||
         ...);
  return first;
}

template <class T>
concept AllocatorAware = requires {
  typename T::value_type;
  typename std::allocator_traits<typename T::allocator_type>::pointer;
};

template <class T>
concept HasRawAllocator =
    std::is_pointer_v<typename std::allocator_traits<typename T::allocator_type>::pointer>;

template <class T, class... Seen>
consteval ObjectRefusal refusal_in_object() {
  if constexpr (is_types<T>) {
    return refusal_in_object_of<Seen...>(T{});
  } else if constexpr (is_behind<T> || is_odd_unique<T> || is_handle<T>) {
    return ObjectRefusal::of_process;
  } else if constexpr (is_functor<T> || is_allocator<T> || is_among<T, Seen...>) {
    return ObjectRefusal::none;
  } else if constexpr (std::is_reference_v<T> || std::is_pointer_v<T> ||
                       std::is_member_pointer_v<T> || std::is_function_v<T> || is_view<T>) {
    return ObjectRefusal::pointer;
  } else if constexpr (std::is_bounded_array_v<T>) {
    return refusal_in_object<std::remove_cv_t<std::remove_all_extents_t<T>>, Seen...>();
  } else if constexpr (Scalar<T> || AsBytes<T> || !std::is_class_v<T>) {
    return ObjectRefusal::none;
  } else if constexpr (std::is_polymorphic_v<T>) {
    return ObjectRefusal::polymorphic;
  } else if constexpr (!std::is_same_v<std::unwrap_reference_t<T>, T>) {
    return ObjectRefusal::pointer;
  } else if constexpr (AllocatorAware<T>) {
    if constexpr (HasRawAllocator<T>) {
      return ObjectRefusal::container;
    } else {
      return refusal_in_object<std::remove_cv_t<typename T::value_type>, T, Seen...>();
    }
  } else if constexpr (HasStdCodec<T>) {
    return refusal_in_object_of<T, Seen...>(typename StdCodec<T>::Parts{});
  } else if constexpr (std::is_aggregate_v<T>) {
    if constexpr (counted<T>.makeup == Makeup::fields) {
      return refusal_in_object_of<T, Seen...>(fields_t<T>{});
    } else {
      return ObjectRefusal::none;
    }
  } else {
    return ObjectRefusal::none;
  }
}

// Says at most one sentence.
template <class T>
consteval bool check_in_shared_object() {
  constexpr ObjectRefusal refusal = refusal_in_object<std::remove_cv_t<T>>();
  static_assert(refusal != ObjectRefusal::polymorphic,
                "procpool: a SharedObject lies at another address in each process, and this type "
                "has virtual functions, whose table is elsewhere there: use a class without them, "
                "or a std::variant");
  static_assert(refusal != ObjectRefusal::pointer,
                "procpool: a SharedObject lies at another address in each process, and this type "
                "has a raw pointer, a reference or a view: use boost::interprocess::offset_ptr, or "
                "an index");
  static_assert(refusal != ObjectRefusal::container,
                "procpool: a SharedObject lies at another address in each process, and this type "
                "has a container with raw pointers: in place of std::map and std::string use "
                "boost::interprocess::map and boost::interprocess::basic_string with a "
                "procpool::ObjectAllocator");
  static_assert(refusal != ObjectRefusal::of_process,
                "procpool: a SharedObject has all its parts in its own memory, and this type has a "
                "smart pointer or a handle, whose target lies elsewhere: use "
                "boost::interprocess::offset_ptr, and give handles as arguments of their own");
  return true;
}

}  // namespace procpool::inline v0_1::detail
