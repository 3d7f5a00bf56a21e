// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The compiled half of the archives: the tables of objects and classes of one message, and the
// table of exported classes. An archive is used by the thread that encodes or decodes. A refused
// message throws; the tables die with the archive.

#include <cstring>
#include <map>
#include <string_view>
#include <typeindex>
#include <unordered_map>

#include <boost/archive/basic_archive.hpp>
#include <boost/serialization/extended_type_info_typeid.hpp>
#include <boost/serialization/library_version_type.hpp>
#include <boost/serialization/void_cast.hpp>

#include <procpool/detail/codec/archive/archives.hpp>
#include <procpool/detail/codec/archive/save_pointers.hpp>
#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0_1::detail {

namespace {

using BoostInfo = boost::serialization::extended_type_info;

constexpr std::size_t longest_key = BOOST_SERIALIZATION_MAX_KEY_SIZE;

// Asks Boost's table of the classes that base_object and BOOST_CLASS_EXPORT have mentioned.
class BoostClasses final : boost::serialization::typeid_system::extended_type_info_typeid_0 {
 public:
  BoostClasses() : extended_type_info_typeid_0(nullptr) {}

  BoostInfo const* find(std::type_info const& type) const { return get_extended_type_info(type); }

 private:
  void* construct(unsigned, ...) const override { return nullptr; }
  void destroy(void const*) const override {}
};

BoostInfo const* find_boost_info(std::type_info const& type) { return BoostClasses().find(type); }

// The exported classes. A class may be there several times, once for each module of the program.
struct Registry {
  Mutex mutex;
  std::multimap<std::type_index, PointerClass const*> by_type PROCPOOL_GUARDED_BY(mutex);
  std::multimap<std::string_view, PointerClass const*> by_key PROCPOOL_GUARDED_BY(mutex);
};

// Never destroyed: modules are unloaded, and destructors run, in any order.
Registry& registry() {
  static Registry& all = *new Registry;
  return all;
}

template <class Map>
void erase(Map& map, typename Map::key_type const& key, PointerClass const& known) {
  auto const [first, last] = map.equal_range(key);
  for (auto it = first; it != last; ++it) {
    if (it->second != &known) continue;
    map.erase(it);
    return;
  }
}

template <class Map>
PointerClass const* find_in(Map const& map, typename Map::key_type const& key) {
  auto const found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

}  // namespace

ExportedClass::ExportedClass(PointerClass const& exported) : exported_(exported) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  all.by_type.emplace(*exported.type, &exported);
  if (exported.key != nullptr) all.by_key.emplace(exported.key, &exported);
}

ExportedClass::~ExportedClass() {
  Registry& all = registry();
  Lock const lock(all.mutex);
  erase(all.by_type, *exported_.type, exported_);
  if (exported_.key != nullptr) erase(all.by_key, exported_.key, exported_);
}

PointerClass const& ExportedClass::of_object(std::type_info const& type, std::type_info const& base,
                                             void const* part, void const*& whole) {
  BoostInfo const* const info = find_boost_info(type);
  if (info == nullptr) {
    refuse_class("has a derived class that is not exported: use BOOST_CLASS_EXPORT:", type.name());
  }
  BoostInfo const* const base_info = find_boost_info(base);
  whole =
      base_info == nullptr ? nullptr : boost::serialization::void_downcast(*info, *base_info, part);
  PointerClass const* known = nullptr;
  {
    Registry& all = registry();
    Lock const lock(all.mutex);
    known = find_in(all.by_type, type);
  }
  if (whole == nullptr || known == nullptr) {
    refuse_class("is not known as a derived one: use BOOST_CLASS_EXPORT and base_object for it:",
                 type.name());
  }
  return *known;
}

void const* find_base(std::type_info const& type, std::type_info const& base, void const* whole) {
  BoostInfo const* const info = find_boost_info(type);
  BoostInfo const* const base_info = find_boost_info(base);
  if (info == nullptr || base_info == nullptr) return nullptr;
  return boost::serialization::void_upcast(*info, *base_info, whole);
}

void ArchiveHelpers::keep(void const* id, std::shared_ptr<void> helper) {
  helpers_.emplace_back(id, std::move(helper));
}

boost::serialization::library_version_type boost_library_version() {
  return boost::serialization::library_version_type(boost::archive::BOOST_ARCHIVE_VERSION());
}

struct OutputArchive::Tables {
  std::unordered_multimap<void const*, Object> objects;
  std::uint32_t numbers = 0;
  std::vector<PointerClass const*> classes;
};

struct InputArchive::Tables {
  std::vector<Object> objects;
  std::vector<PointerClass const*> classes;
};

OutputArchive::OutputArchive(Sink& sink) : sink_(sink), tables_(std::make_unique<Tables>()) {}
OutputArchive::~OutputArchive() = default;
InputArchive::InputArchive(Source& source) : source_(source), tables_(std::make_unique<Tables>()) {}
InputArchive::~InputArchive() = default;

boost::serialization::library_version_type OutputArchive::get_library_version() const {
  return boost_library_version();
}
boost::serialization::library_version_type InputArchive::get_library_version() const {
  return boost_library_version();
}

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

void OutputArchive::register_class(PointerClass const& known) {
  for (auto const* other : tables_->classes) {
    if (*other->type == *known.type) return;
  }
  tables_->classes.push_back(&known);
}

OutputArchive::Object const* OutputArchive::find(void const* address,
                                                 std::type_info const& type) const {
  auto const [first, last] = tables_->objects.equal_range(address);
  for (auto it = first; it != last; ++it) {
    if (*it->second.type == type) return &it->second;
  }
  return nullptr;
}

void OutputArchive::add(void const* address, std::type_info const& type, bool by_pointer) {
  if (tables_->numbers == UINT32_MAX) {
    refuse("procpool: more than 2^32 tracked objects in one message");
  }
  if (address != nullptr) {
    tables_->objects.emplace(address, Object{&type, tables_->numbers, by_pointer});
  }
  ++tables_->numbers;
}

void OutputArchive::save_class(PointerClass const& known) {
  auto& classes = tables_->classes;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (*classes[i]->type == *known.type) {
      sink_.scalar(Tag::known_class);
      sink_.scalar(static_cast<std::uint32_t>(i));
      return;
    }
  }
  auto const length = known.key == nullptr ? 0 : std::strlen(known.key);
  if (length == 0 || length >= longest_key) {
    refuse_class("has no name to be sent under: use BOOST_CLASS_EXPORT for it:",
                 known.type->name());
  }
  sink_.scalar(Tag::named_class);
  sink_.scalar(static_cast<std::uint8_t>(length));
  sink_.write(known.key, length);
  classes.push_back(&known);
}

bool save_known(OutputArchive& archive, void const* address, std::type_info const& type) {
  auto const* known = archive.find(address, type);
  if (known == nullptr) return false;
  archive.sink().scalar(Tag::known);
  archive.sink().scalar(known->number);
  return true;
}

void save_derived(OutputArchive& archive, std::type_info const& type, std::type_info const& base,
                  void const* part) {
  void const* whole = nullptr;
  PointerClass const& known = ExportedClass::of_object(type, base, part, whole);
  if (known.tracked && save_known(archive, whole, type)) return;
  archive.save_class(known);
  archive.add(known.tracked ? whole : nullptr, type, true);
  known.save(archive, whole);
}

// --- reading -------------------------------------------------------------------------------------

void InputArchive::register_class(PointerClass const& known) {
  for (auto const* other : tables_->classes) {
    if (*other->type == *known.type) return;
  }
  tables_->classes.push_back(&known);
}

PointerClass const& InputArchive::read_class(Tag tag) {
  auto& classes = tables_->classes;
  if (tag == Tag::known_class) {
    auto const number = source_.scalar<std::uint32_t>();
    if (number >= classes.size()) {
      refuse("procpool: a message names a class by a number that it has not introduced");
    }
    return *classes[number];
  }
  std::size_t const length = source_.scalar<std::uint8_t>();
  if (length == 0 || length >= longest_key) {
    refuse("procpool: a message names a class by a key of impossible length");
  }
  char key[longest_key] = {};
  source_.read(key, length);
  PointerClass const* known = nullptr;
  if (std::strlen(key) == length) {
    Registry& all = registry();
    Lock const lock(all.mutex);
    known = find_in(all.by_key, std::string_view(key, length));
  }
  if (known == nullptr) {
    refuse("procpool: a message names a class that is not exported in this process");
  }
  for (auto const* other : classes) {
    if (*other->type == *known->type) refuse("procpool: a message introduces a class twice");
  }
  classes.push_back(known);
  return *known;
}

std::size_t InputArchive::objects() const noexcept { return tables_->objects.size(); }

InputArchive::Object& InputArchive::object(std::size_t number) { return tables_->objects[number]; }

std::size_t InputArchive::add(void* address, std::type_info const& type, std::size_t size,
                              bool whole, Owner owner) {
  tables_->objects.push_back({address, &type, whole, owner, size, nullptr, nullptr});
  return tables_->objects.size() - 1;
}

InputArchive::Object& InputArchive::read_reference(std::size_t& number) {
  number = source_.scalar<std::uint32_t>();
  if (number >= tables_->objects.size()) {
    refuse("procpool: a message refers to an object that it does not hold");
  }
  if (!tables_->objects[number].whole) {
    refuse("procpool: a message refers to an object that is not there any more, or not yet");
  }
  return tables_->objects[number];
}

void InputArchive::moved(std::size_t mark, void const* from, void* to, std::size_t bytes) {
  auto const first = reinterpret_cast<std::uintptr_t>(from);
  for (auto i = mark; i < tables_->objects.size(); ++i) {
    auto& object = tables_->objects[i];
    if (object.owner != Owner::embedded) continue;
    auto const offset = reinterpret_cast<std::uintptr_t>(object.address) - first;
    if (offset < bytes) object.address = static_cast<std::byte*>(to) + offset;
  }
}

void InputArchive::lost_outside(std::size_t mark, void const* inside, std::size_t bytes) {
  auto const first = reinterpret_cast<std::uintptr_t>(inside);
  for (auto i = mark; i < tables_->objects.size(); ++i) {
    auto& object = tables_->objects[i];
    if (object.owner != Owner::embedded) continue;
    if (reinterpret_cast<std::uintptr_t>(object.address) - first >= bytes) object.whole = false;
  }
}

void InputArchive::reset_object_address(void const* now, void const* before) {
  // The newest object at that address is the one that was just read; its parts follow it.
  for (auto i = tables_->objects.size(); i-- > 0;) {
    if (tables_->objects[i].owner != Owner::embedded || tables_->objects[i].address != before)
      continue;
    moved(i, before, const_cast<void*>(now), tables_->objects[i].size);
    return;
  }
}

}  // namespace procpool::inline v0_1::detail
