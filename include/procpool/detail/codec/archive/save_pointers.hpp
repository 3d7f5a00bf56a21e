#pragma once

// Objects behind pointers, written: once each, with their true class; then by number. Runs on the
// thread that encodes; a class that cannot be named on the other side is refused.

#include <memory>
#include <type_traits>
#include <utility>

#include <boost/serialization/void_cast.hpp>

#include <procpool/detail/codec/archive/user.hpp>

namespace procpool::inline v0::detail {

template <class T>
void save_fresh(OutputArchive& archive, T const* pointer) {
  auto& out = archive.sink();
  if constexpr (UserType<T>) {
    // Mentioning this marks T as a class that is serialized through pointers, so that its objects
    // are tracked by value too.
    (void)boost::serialization::singleton<
        boost::archive::detail::pointer_oserializer<OutputArchive, T>>::get_const_instance();
    boost::serialization::save_construct_data_adl<OutputArchive, T>(
        archive, pointer, boost::serialization::version<T>::value);
    call_save(archive, *pointer);
  } else {
    save_value<T>(out, *pointer);
  }
}

inline bool save_known(OutputArchive& archive, void const* address, TypeInfo const& type) {
  auto const* known = archive.find(address, type);
  if (known == nullptr) return false;
  archive.sink().scalar(Tag::known);
  archive.sink().scalar(known->number);
  return true;
}

template <class T>
void save_derived(OutputArchive& archive, T const* pointer, TypeInfo const& true_type) {
  namespace bs = boost::serialization;
  void const* whole = bs::void_downcast(true_type, type_info_of<T>(), pointer);
  auto const* saver = static_cast<boost::archive::detail::basic_pointer_oserializer const*>(
      boost::archive::detail::archive_serializer_map<OutputArchive>::find(true_type));
  if (whole == nullptr || saver == nullptr) {
    refuse_class("is not known as a derived one: use BOOST_CLASS_EXPORT and base_object for it:",
                 true_type.get_debug_info());
  }
  bool const tracked = saver->get_basic_serializer().tracking(0);
  if (tracked && save_known(archive, whole, true_type)) return;
  archive.save_class(true_type);
  archive.add(tracked ? whole : nullptr, true_type, true);
  auto const* const outer = std::exchange(archive.pending, whole);
  saver->save_object_ptr(archive, whole);
  archive.pending = outer;
}

template <class T>
void save_pointer(Sink& out, T const* pointer) {
  auto& archive = out.archive();
  if (pointer == nullptr) {
    out.scalar(Tag::null);
    return;
  }
  auto const& type = type_info_of<T>();
  if constexpr (std::is_polymorphic_v<T>) {
    auto const* true_type =
        boost::serialization::singleton<
            typename boost::serialization::type_info_implementation<T>::type>::get_const_instance()
            .get_derived_extended_type_info(*pointer);
    if (true_type == nullptr) {
      refuse_class("has a derived class that is not exported: use BOOST_CLASS_EXPORT:",
                   typeid(*pointer).name());
    }
    if (*true_type != type) return save_derived(archive, pointer, *true_type);
  }
  if constexpr (!std::is_abstract_v<T>) {
    constexpr bool tracked = !never_tracked<T> || !UserType<T>;
    if (tracked && save_known(archive, pointer, type)) return;
    archive.add(tracked ? pointer : nullptr, type, true);
    out.scalar(Tag::fresh);
    save_fresh(archive, pointer);
  }
}

}  // namespace procpool::inline v0::detail
