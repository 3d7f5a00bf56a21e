// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// OutputArchive and InputArchive: the archives that a user's `serialize` gets. They follow Boost's
// archive concepts, but keep the table of objects and classes themselves: Boost's reader believes
// the class and object numbers of a message, ours checks each. A message has one of either if it
// needs one, used by one thread; both only refer to the Sink or Source. When a message is refused,
// objects that nobody owns yet are destroyed, and no pointer is left to an object that is not
// whole.
//
// Next to nothing of Boost.Serialization is included. Code that uses more of it (base_object, nvp,
// class versions, exported classes) includes the headers that it names, and these archives find the
// traits there.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <typeinfo>
#include <utility>
#include <vector>

#include <boost/archive/detail/register_archive.hpp>
#include <boost/mpl/bool.hpp>

#include <procpool/detail/codec/archive/sink.hpp>
#include <procpool/detail/codec/archive/source.hpp>
#include <procpool/detail/export.hpp>

namespace boost::serialization {
class library_version_type;
// The key of an exported class, and whether there is one.
template <class T>
char const* guid();
template <class T>
struct guid_defined;
}  // namespace boost::serialization

namespace procpool::inline v0_1::detail {

// What kind of pointer follows.
enum class Tag : std::uint8_t {
  null = 0,
  fresh = 1,        // an object of exactly the pointer's class follows
  known = 2,        // the number of an object met before
  named_class = 3,  // the key of a derived class not met before, then an object
  known_class = 4   // the number of a derived class met before, then an object
};

// A class whose objects a pointer to a base may lead to.
struct PointerClass {
  std::type_info const* type;
  char const* key;  // null: it is known by its number only
  bool tracked;
  void (*save)(OutputArchive& archive, void const* whole);
  void* (*allocate)();  // memory without an object in it
  // Makes the object with that number of `place`, which came from allocate().
  void (*load)(InputArchive& archive, std::size_t number, void* place);
  void (*destroy)(void* whole);
};

// While it lives, messages may name the class by its key. Any thread.
class PROCPOOL_API ExportedClass {
 public:
  explicit ExportedClass(PointerClass const& exported);
  ExportedClass(ExportedClass const&) = delete;
  ExportedClass& operator=(ExportedClass const&) = delete;
  ~ExportedClass();

  // The exported class of the object at `part`, which is a `base`, and the whole object. Throws
  // SerializationError if the class is not exported, or not known to be derived from `base`.
  static PointerClass const& of_object(std::type_info const& type, std::type_info const& base,
                                       void const* part, void const*& whole);

 private:
  PointerClass const& exported_;
};

// The `base` in an object of the class `type`; null: there is none that base_object has named.
PROCPOOL_API void const* find_base(std::type_info const& type, std::type_info const& base,
                                   void const* whole);

// Objects that Boost's own helpers (of boost::shared_ptr, say) keep with a message.
class ArchiveHelpers {
 public:
  template <class Helper>
  Helper& get_helper(void const* id = nullptr) {
    for (auto const& [known, helper] : helpers_) {
      if (known == id) return *static_cast<Helper*>(helper.get());
    }
    auto made = std::make_shared<Helper>();
    auto& helper = *made;
    keep(id, std::move(made));
    return helper;
  }

 private:
  PROCPOOL_API void keep(void const* id, std::shared_ptr<void> helper);

  std::vector<std::pair<void const*, std::shared_ptr<void>>> helpers_;
};

// The same for every message: both ends are one build.
PROCPOOL_API boost::serialization::library_version_type boost_library_version();

class PROCPOOL_API OutputArchive final : public ArchiveHelpers {
 public:
  explicit OutputArchive(Sink& sink);
  OutputArchive(OutputArchive const&) = delete;
  OutputArchive& operator=(OutputArchive const&) = delete;
  ~OutputArchive();

  Sink& sink() noexcept { return sink_; }

  // Boost's interface, called by serialize functions.
  using is_loading = boost::mpl::bool_<false>;
  using is_saving = boost::mpl::bool_<true>;
  template <class T>
  OutputArchive& operator<<(T const& value) {
    save_override(value);
    return *this;
  }
  template <class T>
  OutputArchive& operator&(T const& value) {
    save_override(value);
    return *this;
  }
  template <class T>
  void save_override(T const& value);
  template <class T>
  void save(T const& value) {
    save_override(value);
  }
  void save_binary(void const* from, std::size_t bytes) { sink_.write(from, bytes); }
  template <class T>
  void register_type(T const* = nullptr);
  boost::serialization::library_version_type get_library_version() const;
  unsigned get_flags() const noexcept { return 0; }

  // The objects of this message, by address and class.
  struct Object {
    std::type_info const* type;
    std::uint32_t number;
    bool by_pointer;
  };
  Object const* find(void const* address, std::type_info const& type) const;
  void add(void const* address, std::type_info const& type,
           bool by_pointer);  // null: only numbered

  // Writes whether the class is known, and its key if not.
  void save_class(PointerClass const& known);
  void register_class(PointerClass const& known);

 private:
  struct Tables;

  Sink& sink_;
  std::unique_ptr<Tables> const tables_;
};

class PROCPOOL_API InputArchive final : public ArchiveHelpers {
 public:
  explicit InputArchive(Source& source);
  InputArchive(InputArchive const&) = delete;
  InputArchive& operator=(InputArchive const&) = delete;
  ~InputArchive();

  Source& source() noexcept { return source_; }

  // Boost's interface, called by serialize functions.
  using is_loading = boost::mpl::bool_<true>;
  using is_saving = boost::mpl::bool_<false>;
  template <class T>
  InputArchive& operator>>(T&& value) {
    load_override(value);
    return *this;
  }
  template <class T>
  InputArchive& operator&(T&& value) {
    load_override(value);
    return *this;
  }
  template <class T>
  void load_override(T& value);
  template <class T>
  void load_override(T const& value) {
    load_override(const_cast<T&>(value));  // Boost passes wrappers (nvp, array) as constants
  }
  template <class T>
  void load(T& value) {
    load_override(value);
  }
  void load_binary(void* to, std::size_t bytes) { source_.read(to, bytes); }
  template <class T>
  void register_type(T const* = nullptr);
  boost::serialization::library_version_type get_library_version() const;
  unsigned get_flags() const noexcept { return 0; }

  // User code may announce that it moved what it just loaded, and may ask for a clean-up that here
  // happens by itself.
  void reset_object_address(void const* now, void const* before);
  template <class T>
  void reset_object_address(T const* now, T const* before) {
    moved(recent_, before, const_cast<T*>(now), sizeof(T));  // also what is tracked only in parts
    reset_object_address(static_cast<void const*>(now), static_cast<void const*>(before));
  }
  void delete_created_pointers() noexcept {}

  enum class Owner : std::uint8_t {
    none,      // made for a raw pointer
    embedded,  // part of another object
    unique,
    shared
  };
  struct Object {
    void* address;  // of the most derived object
    std::type_info const* type;
    bool whole;  // constructed and still there: may be referred to
    Owner owner;
    std::size_t size;
    void (*destroy)(void* whole);  // of objects from the heap
    std::shared_ptr<void> shared;
  };
  std::size_t add(void* address, std::type_info const& type, std::size_t size, bool whole,
                  Owner owner);
  std::size_t objects() const noexcept;
  Object& object(std::size_t number);
  Object& read_reference(std::size_t& number);
  // Of the objects met since `mark`, those within the bytes at `from` now lie at `to`.
  void moved(std::size_t mark, void const* from, void* to, std::size_t bytes);
  // Of the objects met since `mark`, those not within the bytes at `inside` are not there any more.
  void lost_outside(std::size_t mark, void const* inside, std::size_t bytes);

  // Reads the class of an object that follows; `tag` is one of the two that name a class.
  PointerClass const& read_class(Tag tag);
  void register_class(PointerClass const& known);

 private:
  struct Tables;

  Source& source_;
  std::unique_ptr<Tables> const tables_;
  std::size_t recent_ = 0;  // what user code loaded last began with this object
};

}  // namespace procpool::inline v0_1::detail
