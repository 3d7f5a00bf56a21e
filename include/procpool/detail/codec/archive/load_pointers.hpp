// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Objects behind pointers, read: what was shared is shared again, in its true class. Raw pointers
// occur only inside users' own serialize, with Boost's ownership: each fresh object belongs to the
// pointer that received it.
//
// While an object is being filled it is in the table (cycles need it); the pointer that it is for
// is set only when the object is whole. If filling fails it is destroyed, unless a smart pointer
// within its own subtree has adopted it.

#include <memory>
#include <new>
#include <type_traits>
#include <typeinfo>
#include <utility>

// Definitions of what base_object.hpp only declares.
#include <boost/serialization/extended_type_info_typeid.hpp>
#include <boost/serialization/void_cast.hpp>

#include <procpool/detail/codec/archive/save_pointers.hpp>
#include <procpool/detail/codec/archive/user.hpp>

namespace procpool::inline v0_1::detail {

template <class T>
struct Loaded {
  T* pointer = nullptr;
  std::size_t number = 0;  // in the table
  void (*destroy)(void* whole) = nullptr;
};

template <class T>
T* as_pointer(void* whole, std::type_info const& type) {
  if (type == typeid(T)) return static_cast<T*>(whole);
  void const* part = nullptr;
  if constexpr (std::is_polymorphic_v<T>) part = find_base(type, typeid(T), whole);
  if (part == nullptr) refuse("procpool: a message refers to an object of another class");
  return static_cast<T*>(const_cast<void*>(part));
}

// If `fill` throws, the object is destroyed, unless a pointer in its own subtree owns it by now.
template <class Fill>
void fill_or_destroy(InputArchive& archive, std::size_t number, void (*destroy)(void*), Fill fill) {
  archive.object(number).destroy = destroy;
  try {
    fill();
  } catch (...) {
    auto& object = archive.object(number);
    bool const exists = std::exchange(object.whole, false);
    if (exists && object.owner == InputArchive::Owner::none) destroy(object.address);
    throw;
  }
}

template <class T>
void destroy_typed(void* whole) {
  if constexpr (UserType<T>) {
    boost::serialization::access::destroy(static_cast<T*>(whole));
  } else {
    delete static_cast<T*>(whole);
  }
}

// Memory for a T without a T in it, freed if the constructor fails.
template <class T>
struct RawMemory {
  static constexpr auto alignment = std::align_val_t{alignof(T)};
  static constexpr bool over_aligned = alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;

  void* place;
  explicit RawMemory(void* adopted) : place(adopted) {}
  RawMemory() {
    if constexpr (requires { T::operator new(sizeof(T)); }) {
      place = T::operator new(sizeof(T));
    } else if constexpr (over_aligned) {
      place = ::operator new(sizeof(T), alignment);
    } else {
      place = ::operator new(sizeof(T));
    }
  }
  RawMemory(RawMemory const&) = delete;
  RawMemory& operator=(RawMemory const&) = delete;
  ~RawMemory() {
    if (place == nullptr) return;
    if constexpr (requires { T::operator delete(place); }) {
      T::operator delete(place);
    } else if constexpr (over_aligned) {
      ::operator delete(place, alignment);
    } else {
      ::operator delete(place);
    }
  }
};

// Constructs and fills the object with that number, of a class that was known by its name alone, in
// memory that came from RawMemory.
template <class T>
void load_named(InputArchive& archive, std::size_t number, void* place) {
  RawMemory<T> memory(place);
  auto* const whole = static_cast<T*>(place);
  boost::serialization::load_construct_data_adl<InputArchive, T>(archive, whole,
                                                                 boost_version<T>());
  memory.place = nullptr;
  archive.object(number).whole = true;
  Level level(archive.source());
  call_load(archive, *whole);
}

// Constructed in memory of its own and moved from there: load_construct_data knows addresses only.
template <class T>
T make_user(Source& in) {
  auto& archive = in.archive();
  auto const mark = in.mark();
  RawMemory<T> memory;
  auto* const place = static_cast<T*>(memory.place);
  boost::serialization::load_construct_data_adl<InputArchive, T>(archive, place,
                                                                 boost_version<T>());
  struct Destroyer {
    void operator()(T* whole) const { std::destroy_at(whole); }
  };
  std::unique_ptr<T, Destroyer> const whole(place);
  load_user(in, *whole);
  will_move(in, mark, place);
  T value(std::move(*whole));
  has_moved<T>(in, mark, place, std::addressof(value));
  return value;
}

template <class T>
Loaded<T> load_fresh(InputArchive& archive) {
  using Owner = InputArchive::Owner;
  auto& in = archive.source();
  auto* const destroy = &destroy_typed<T>;
  if constexpr (UserType<T>) {
    RawMemory<T> memory;
    auto const number = archive.add(memory.place, typeid(T), sizeof(T), false, Owner::none);
    auto* whole = static_cast<T*>(memory.place);
    boost::serialization::load_construct_data_adl<InputArchive, T>(archive, whole,
                                                                   boost_version<T>());
    memory.place = nullptr;
    archive.object(number).whole = true;
    fill_or_destroy(archive, number, destroy, [&] { call_load(archive, *whole); });
    return {whole, number, destroy};
  } else if constexpr (fills_in_place<T>()) {
    auto* whole = new T();
    std::unique_ptr<T> guard(whole);
    auto const number = archive.add(whole, typeid(T), sizeof(T), true, Owner::none);
    guard.release();
    fill_or_destroy(archive, number, destroy, [&] { load_value(in, *whole); });
    return {whole, number, destroy};
  } else {
    // Its number precedes those of its parts, as when it was saved.
    auto const number = archive.add(nullptr, typeid(T), sizeof(T), false, Owner::none);
    auto* whole = new T(make_value<T>(in));
    archive.object(number).address = whole;
    archive.object(number).whole = true;
    return {whole, number, destroy};
  }
}

template <class T>
Loaded<T> load_derived(InputArchive& archive, Tag tag) {
  PointerClass const& known = archive.read_class(tag);
  auto const number = archive.add(nullptr, *known.type, 0, false, InputArchive::Owner::none);
  void* const whole = known.allocate();
  archive.object(number).address = whole;
  T* pointer = nullptr;
  fill_or_destroy(archive, number, known.destroy, [&] {
    known.load(archive, number, whole);
    pointer = as_pointer<T>(whole, *known.type);
  });
  return {pointer, number, known.destroy};
}

// The object that follows in the message, fresh or known; a null pointer if there is none.
template <class T>
Loaded<T> load_target(InputArchive& archive) {
  auto& in = archive.source();
  auto const tag = in.scalar<Tag>();
  if (tag == Tag::null) return {};
  if (tag == Tag::known) {
    Loaded<T> known;
    auto const& object = archive.read_reference(known.number);
    known.pointer = as_pointer<T>(object.address, *object.type);
    return known;
  }
  Loaded<T> fresh;
  if (tag == Tag::fresh) {
    if constexpr (std::is_abstract_v<T>) {
      refuse("procpool: a message holds an object of an abstract class");
    } else {
      fresh = load_fresh<T>(archive);
    }
  } else if (tag == Tag::named_class || tag == Tag::known_class) {
    if constexpr (std::is_polymorphic_v<T>) {
      fresh = load_derived<T>(archive, tag);
    } else {
      refuse("procpool: a message names a derived class where there are none");
    }
  } else {
    refuse("procpool: a message holds a pointer of an unknown kind");
  }
  auto& object = archive.object(fresh.number);
  object.destroy = fresh.destroy;
  if (object.owner == InputArchive::Owner::unique) {
    refuse("procpool: a message holds an object that owns itself");
  }
  return fresh;
}

template <class T>
void load_raw(Source& in, T*& pointer) {
  pointer = load_target<T>(in.archive()).pointer;
}

template <class T>
void load_unique(Source& in, std::unique_ptr<T>& pointer) {
  auto& archive = in.archive();
  auto const loaded = load_target<T>(archive);
  if (loaded.pointer == nullptr) return;
  auto& object = archive.object(loaded.number);
  if (object.owner != InputArchive::Owner::none) refuse_second_owner();
  object.owner = InputArchive::Owner::unique;
  pointer.reset(loaded.pointer);
}

template <class T>
void load_shared(Source& in, std::shared_ptr<T>& pointer) {
  auto& archive = in.archive();
  auto const loaded = load_target<T>(archive);
  if (loaded.pointer == nullptr) return;
  auto& object = archive.object(loaded.number);
  if (object.owner == InputArchive::Owner::none) {
    // Made from a T* and not from the table's void*, so that enable_shared_from_this is served.
    auto const destroy = object.destroy;
    auto* const whole = object.address;
    object.owner = InputArchive::Owner::shared;
    pointer = std::shared_ptr<T>(loaded.pointer, [destroy, whole](T*) { destroy(whole); });
    object.shared = pointer;
  } else if (object.owner == InputArchive::Owner::shared) {
    pointer = std::shared_ptr<T>(object.shared, loaded.pointer);
  } else {
    refuse_second_owner();
  }
}

// --- classes that messages may name --------------------------------------------------------------

template <class T>
char const* key_of_class() {
  if constexpr (requires { requires boost::serialization::guid_defined<T>::value; }) {
    return boost::serialization::guid<T>();
  } else {
    return nullptr;
  }
}

template <class T>
PointerClass const& pointer_class() {
  static PointerClass const known{&typeid(T),
                                  key_of_class<T>(),
                                  !never_tracked<T>,
                                  [](OutputArchive& archive, void const* whole) {
                                    Level level(archive.sink());
                                    save_object(archive, *static_cast<T const*>(whole));
                                  },
                                  []() -> void* {
                                    RawMemory<T> memory;
                                    return std::exchange(memory.place, nullptr);
                                  },
                                  &load_named<T>,
                                  &destroy_typed<T>};
  return known;
}

template <class T>
struct Exported {
  static inline ExportedClass const exported{pointer_class<T>()};
};

template <class T>
void OutputArchive::register_type(T const*) {
  register_class(pointer_class<T>());
}
template <class T>
void InputArchive::register_type(T const*) {
  register_class(pointer_class<T>());
}

}  // namespace procpool::inline v0_1::detail

namespace boost::archive::detail {

// What BOOST_CLASS_EXPORT makes for a class and our archives.
template <class T>
struct ptr_serialization_support<procpool::detail::OutputArchive, T> {
  [[gnu::used]] static void instantiate() {
    static_cast<void>(&procpool::detail::Exported<T>::exported);
  }
  template <void (*)()>
  struct Instantiated {};
  using x = Instantiated<&ptr_serialization_support::instantiate>;
};

}  // namespace boost::archive::detail

BOOST_SERIALIZATION_REGISTER_ARCHIVE(procpool::detail::OutputArchive)
