#pragma once

// OutputArchive and InputArchive: what a user's `serialize` meets. They follow Boost's archive
// concepts, but keep the table of objects and classes themselves: Boost's reader believes the class
// and object numbers of a message, ours checks each. One of either exists per message that needs
// it, used by one thread; both only refer to the Sink or Source. When a message is refused, objects
// that nobody owns yet are destroyed, and no pointer is left to an object that is not whole.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include <boost/archive/basic_archive.hpp>
#include <boost/archive/detail/basic_iarchive.hpp>
#include <boost/archive/detail/basic_iserializer.hpp>
#include <boost/archive/detail/basic_oarchive.hpp>
#include <boost/archive/detail/interface_iarchive.hpp>
#include <boost/archive/detail/interface_oarchive.hpp>
#include <boost/archive/detail/register_archive.hpp>
#include <boost/serialization/extended_type_info.hpp>

#include <procpool/detail/codec/archive/sink.hpp>
#include <procpool/detail/codec/archive/source.hpp>

namespace procpool::inline v0::detail {

using TypeInfo = boost::serialization::extended_type_info;

// What kind of pointer follows.
enum class Tag : std::uint8_t {
  null = 0,
  fresh = 1,        // an object of exactly the pointer's class follows
  known = 2,        // the number of an object met before
  named_class = 3,  // the key of a derived class not met before, then an object
  known_class = 4   // the number of a derived class met before, then an object
};

class PROCPOOL_API OutputArchive final
    : public boost::archive::detail::basic_oarchive,
      public boost::archive::detail::interface_oarchive<OutputArchive> {
 public:
  explicit OutputArchive(Sink& sink) : basic_oarchive(0), sink_(sink) {}

  Sink& sink() noexcept { return sink_; }

  // Boost's face, called by interface_oarchive and by serialize functions.
  template <class T>
  void save_override(T const& value);
  template <class T>
  void save(T const& value) {
    save_override(value);
  }
  void save_binary(void const* from, std::size_t bytes) { sink_.write(from, bytes); }
  void register_basic_serializer(boost::archive::detail::basic_oserializer const& serializer);

  // The objects of this message, by address and class.
  struct Object {
    TypeInfo const* type;
    std::uint32_t number;
    bool by_pointer;
  };
  Object const* find(void const* address, TypeInfo const& type) const;
  void add(void const* address, TypeInfo const& type, bool by_pointer);  // null: only numbered

  // Writes whether the class is known, and its key if not.
  void save_class(TypeInfo const& type);

  // The object whose data Boost's pointer serializer will hand back to us next.
  void const* pending = nullptr;

 private:
  void vsave(boost::archive::version_type) override;
  void vsave(boost::archive::object_id_type) override;
  void vsave(boost::archive::object_reference_type) override;
  void vsave(boost::archive::class_id_type) override;
  void vsave(boost::archive::class_id_optional_type) override;
  void vsave(boost::archive::class_id_reference_type) override;
  void vsave(boost::archive::class_name_type const&) override;
  void vsave(boost::archive::tracking_type) override;

  Sink& sink_;
  std::unordered_multimap<void const*, Object> objects_;
  std::uint32_t numbers_ = 0;
  std::vector<TypeInfo const*> classes_;
};

// How an object from the heap goes away when nobody owns it.
struct Destroy {
  void (*typed)(void*) = nullptr;
  boost::archive::detail::basic_iserializer const* by_class = nullptr;
  void operator()(void* whole) const {
    if (by_class != nullptr) {
      by_class->destroy(whole);
    } else {
      typed(whole);
    }
  }
};

class PROCPOOL_API InputArchive final
    : public boost::archive::detail::basic_iarchive,
      public boost::archive::detail::interface_iarchive<InputArchive> {
 public:
  explicit InputArchive(Source& source) : basic_iarchive(0), source_(source) {}

  Source& source() noexcept { return source_; }

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
  void register_basic_serializer(boost::archive::detail::basic_iserializer const& serializer);

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
    TypeInfo const* type;
    bool whole;  // constructed and still there: may be referred to
    Owner owner;
    std::size_t size;
    Destroy destroy;  // of objects from the heap
    std::shared_ptr<void> shared;
  };
  std::size_t add(void* address, TypeInfo const& type, std::size_t size, bool whole, Owner owner);
  std::size_t objects() const noexcept { return objects_.size(); }
  Object& object(std::size_t number) { return objects_[number]; }
  Object& read_reference(std::size_t& number);
  // Of the objects met since `mark`, those within the bytes at `from` now lie at `to`.
  void moved(std::size_t mark, void const* from, void* to, std::size_t bytes);
  // Of the objects met since `mark`, those not within the bytes at `inside` are not there any more.
  void lost_outside(std::size_t mark, void const* inside, std::size_t bytes);

  // Reads the class of an object that follows; `tag` is one of the two that name a class.
  boost::archive::detail::basic_pointer_iserializer const& read_class(Tag tag);

  // The number of the object that is made next of a class known by its name.
  std::size_t pending = 0;

 private:
  void vload(boost::archive::version_type&) override;
  void vload(boost::archive::object_id_type&) override;
  void vload(boost::archive::class_id_type&) override;
  void vload(boost::archive::class_id_optional_type&) override;
  void vload(boost::archive::class_name_type&) override;
  void vload(boost::archive::tracking_type&) override;

  struct Class {
    TypeInfo const* type;
    boost::archive::detail::basic_pointer_iserializer const* loader;
  };

  Source& source_;
  std::vector<Object> objects_;
  std::size_t recent_ = 0;  // what user code loaded last began with this object
  std::vector<Class> classes_;
};

}  // namespace procpool::inline v0::detail

BOOST_SERIALIZATION_REGISTER_ARCHIVE(procpool::detail::OutputArchive)
BOOST_SERIALIZATION_REGISTER_ARCHIVE(procpool::detail::InputArchive)
