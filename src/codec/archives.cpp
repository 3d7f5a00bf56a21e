// The compiled half of the archives: the tables of objects and classes of one message, and the one
// instantiation of Boost's map from class names to serializers. Used by the thread that encodes or
// decodes. A refused message throws; the tables die with the archive.

#include <cstring>

#include <boost/archive/detail/basic_iserializer.hpp>
#include <boost/archive/detail/basic_oserializer.hpp>
#include <boost/archive/detail/basic_pointer_iserializer.hpp>
#include <boost/archive/impl/archive_serializer_map.ipp>

#include <procpool/detail/codec/archive/archives.hpp>

template class PROCPOOL_API
    boost::archive::detail::archive_serializer_map<procpool::detail::OutputArchive>;
template class PROCPOOL_API
    boost::archive::detail::archive_serializer_map<procpool::detail::InputArchive>;

namespace procpool::inline v0::detail {

namespace {

// Boost's own bookkeeping is never entered: its face is hidden by that of our archives. The virtual
// functions below would be its way to write its numbers.
[[noreturn]] void unreachable() {
  refuse("procpool: Boost's object bookkeeping was called past procpool's archive");
}

constexpr std::size_t longest_key = BOOST_SERIALIZATION_MAX_KEY_SIZE;

}  // namespace

void DeleteOutputArchive::operator()(OutputArchive* archive) const noexcept { delete archive; }
void DeleteInputArchive::operator()(InputArchive* archive) const noexcept { delete archive; }

OutputArchive& Sink::make_archive() {
  archive_.reset(new OutputArchive(*this));
  return *archive_;
}

InputArchive& Source::make_archive() {
  archive_.reset(new InputArchive(*this));
  return *archive_;
}

std::size_t Source::objects() const noexcept { return archive_->objects(); }

void Source::tell_moved(std::size_t mark, void const* from, void* to, std::size_t bytes) {
  archive_->moved(mark, from, to, bytes);
}

void Source::tell_lost(std::size_t mark, void const* inside, std::size_t bytes) {
  archive_->lost_outside(mark, inside, bytes);
}

// --- writing -------------------------------------------------------------------------------------

void OutputArchive::register_basic_serializer(
    boost::archive::detail::basic_oserializer const& serializer) {
  auto const& type = serializer.get_eti();
  for (auto const* known : classes_) {
    if (*known == type) return;
  }
  classes_.push_back(&type);
}

OutputArchive::Object const* OutputArchive::find(void const* address, TypeInfo const& type) const {
  auto const [first, last] = objects_.equal_range(address);
  for (auto it = first; it != last; ++it) {
    if (*it->second.type == type) return &it->second;
  }
  return nullptr;
}

void OutputArchive::add(void const* address, TypeInfo const& type, bool by_pointer) {
  if (numbers_ == UINT32_MAX) refuse("procpool: more than 2^32 tracked objects in one message");
  if (address != nullptr) objects_.emplace(address, Object{&type, numbers_, by_pointer});
  ++numbers_;
}

void OutputArchive::save_class(TypeInfo const& type) {
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    if (*classes_[i] == type) {
      sink_.scalar(Tag::known_class);
      sink_.scalar(static_cast<std::uint32_t>(i));
      return;
    }
  }
  auto const* key = type.get_key();
  auto const length = key == nullptr ? 0 : std::strlen(key);
  if (length == 0 || length >= longest_key) {
    refuse_class("has no name to travel under: use BOOST_CLASS_EXPORT for it:",
                 type.get_debug_info());
  }
  sink_.scalar(Tag::named_class);
  sink_.scalar(static_cast<std::uint8_t>(length));
  sink_.write(key, length);
  classes_.push_back(&type);
}

void OutputArchive::vsave(boost::archive::version_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::object_id_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::object_reference_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::class_id_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::class_id_optional_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::class_id_reference_type) { unreachable(); }
void OutputArchive::vsave(boost::archive::class_name_type const&) { unreachable(); }
void OutputArchive::vsave(boost::archive::tracking_type) { unreachable(); }

// --- reading -------------------------------------------------------------------------------------

void InputArchive::register_basic_serializer(
    boost::archive::detail::basic_iserializer const& serializer) {
  auto const& type = serializer.get_eti();
  for (auto const& known : classes_) {
    if (*known.type == type) return;
  }
  classes_.push_back({&type, serializer.get_bpis_ptr()});
}

boost::archive::detail::basic_pointer_iserializer const& InputArchive::read_class(Tag tag) {
  if (tag == Tag::known_class) {
    auto const number = source_.scalar<std::uint32_t>();
    if (number >= classes_.size() || classes_[number].loader == nullptr) {
      refuse("procpool: a message names a class by a number that it has not introduced");
    }
    return *classes_[number].loader;
  }
  std::size_t const length = source_.scalar<std::uint8_t>();
  if (length == 0 || length >= longest_key) {
    refuse("procpool: a message names a class by a key of impossible length");
  }
  char key[longest_key] = {};
  source_.read(key, length);
  auto const* type = std::strlen(key) == length ? TypeInfo::find(key) : nullptr;
  auto const* serializer =
      type == nullptr ? nullptr
                      : boost::archive::detail::archive_serializer_map<InputArchive>::find(*type);
  if (serializer == nullptr) {
    refuse("procpool: a message names a class that is not exported in this process");
  }
  for (auto const& known : classes_) {
    if (*known.type == *type) refuse("procpool: a message introduces a class twice");
  }
  auto const* loader =
      static_cast<boost::archive::detail::basic_pointer_iserializer const*>(serializer);
  classes_.push_back({type, loader});
  return *loader;
}

std::size_t InputArchive::add(void* address, TypeInfo const& type, std::size_t size, bool whole,
                              Owner owner) {
  objects_.push_back({address, &type, whole, owner, size, {}, nullptr});
  return objects_.size() - 1;
}

InputArchive::Object& InputArchive::read_reference(std::size_t& number) {
  number = source_.scalar<std::uint32_t>();
  if (number >= objects_.size()) {
    refuse("procpool: a message refers to an object that it does not hold");
  }
  if (!objects_[number].whole) {
    refuse("procpool: a message refers to an object that is not there any more, or not yet");
  }
  return objects_[number];
}

void InputArchive::moved(std::size_t mark, void const* from, void* to, std::size_t bytes) {
  auto const first = reinterpret_cast<std::uintptr_t>(from);
  for (auto i = mark; i < objects_.size(); ++i) {
    auto& object = objects_[i];
    if (object.owner != Owner::embedded) continue;
    auto const offset = reinterpret_cast<std::uintptr_t>(object.address) - first;
    if (offset < bytes) object.address = static_cast<std::byte*>(to) + offset;
  }
}

void InputArchive::lost_outside(std::size_t mark, void const* inside, std::size_t bytes) {
  auto const first = reinterpret_cast<std::uintptr_t>(inside);
  for (auto i = mark; i < objects_.size(); ++i) {
    auto& object = objects_[i];
    if (object.owner != Owner::embedded) continue;
    if (reinterpret_cast<std::uintptr_t>(object.address) - first >= bytes) object.whole = false;
  }
}

void InputArchive::reset_object_address(void const* now, void const* before) {
  // The newest object at that address is the one that was just read; its parts follow it.
  for (auto i = objects_.size(); i-- > 0;) {
    if (objects_[i].owner != Owner::embedded || objects_[i].address != before) continue;
    moved(i, before, const_cast<void*>(now), objects_[i].size);
    return;
  }
}

void InputArchive::vload(boost::archive::version_type&) { unreachable(); }
void InputArchive::vload(boost::archive::object_id_type&) { unreachable(); }
void InputArchive::vload(boost::archive::class_id_type&) { unreachable(); }
void InputArchive::vload(boost::archive::class_id_optional_type&) { unreachable(); }
void InputArchive::vload(boost::archive::class_name_type&) { unreachable(); }
void InputArchive::vload(boost::archive::tracking_type&) { unreachable(); }

}  // namespace procpool::inline v0::detail
