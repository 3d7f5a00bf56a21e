#pragma once

// The sentences with which a type is refused at compile time. `cannot_travel<Whole, Part, ...>` in
// the compiler's message names the type and the part of it that is the cause.

#include <procpool/detail/archive/verdict.hpp>

namespace procpool::inline v0::detail {

template <class Whole, class Part, Refusal R>
struct cannot_travel {
  static_assert(R != Refusal::raw_pointer,
                "procpool: this type cannot travel: it holds a raw pointer, which means nothing in "
                "another process. Use std::unique_ptr, std::shared_ptr or std::vector, or write "
                "serialize");
  static_assert(R != Refusal::function,
                "procpool: this type cannot travel: a function pointer is not a value. Pass the "
                "function as the callable of the call");
  static_assert(R != Refusal::reference,
                "procpool: this type cannot travel: a reference (or a struct with a member that is "
                "one, or that cannot be moved) means nothing in another process. Send the value");
  static_assert(R != Refusal::c_array,
                "procpool: this type cannot travel: C arrays are not values. Use std::array or "
                "write serialize");
  static_assert(R != Refusal::view,
                "procpool: this type cannot travel: a view (string_view, span) refers to memory of "
                "this process. Use std::string or std::vector");
  static_assert(R != Refusal::base_class,
                "procpool: this type cannot travel: a struct with base classes is not plain. Make "
                "the base a member, or write serialize");
  static_assert(R != Refusal::polymorphic,
                "procpool: this type cannot travel: a pointer to a polymorphic class needs the "
                "class's own serialize, and BOOST_CLASS_EXPORT for each derived class");
  static_assert(R != Refusal::array_pointer,
                "procpool: this type cannot travel: a smart pointer to an array or to void does "
                "not know what it points to. Use std::vector");
  static_assert(R != Refusal::deleter,
                "procpool: this type cannot travel: a std::unique_ptr with a deleter of its own. "
                "Use the default deleter, or write serialize for the type that holds it");
  static_assert(R != Refusal::union_type,
                "procpool: this type cannot travel: nobody knows which member of a union is "
                "alive. Use std::variant, or write serialize");
  static_assert(R != Refusal::no_default,
                "procpool: this type cannot travel: it has its own serialize but no default "
                "constructor. Add one, or send it behind a std::unique_ptr with "
                "load_construct_data");
  static_assert(R != Refusal::not_movable,
                "procpool: this type cannot travel: it can be neither moved nor copied. Send it "
                "behind a std::unique_ptr");
  static_assert(R != Refusal::not_trivial,
                "procpool: this type cannot travel: procpool::as_bytes is only for trivially "
                "copyable types. Write serialize");
  static_assert(R != Refusal::no_way,
                "procpool: this type cannot travel: it is neither a plain struct nor a supported "
                "std type. Write serialize for it, as for Boost.Serialization");
  static constexpr bool value = false;
};

template <class Whole, class Part>
struct cannot_travel<Whole, Part, Refusal::none> {
  static constexpr bool value = true;
};

// Compiles if a T travels; otherwise fails with one sentence that names T and the culprit.
template <class T>
constexpr bool assert_transmissible() {
  return cannot_travel<T, typename verdict_t<T>::culprit, verdict_t<T>::refusal>::value;
}

template <class T>
void refuse_type() {
  static_assert(assert_transmissible<T>());
}

}  // namespace procpool::inline v0::detail
