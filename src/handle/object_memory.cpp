// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Building, sealing and mapping objects. Threads and crashes: see the header.
#include <procpool/detail/handle/object_memory.hpp>

#include <fcntl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr char const* file_name = "procpool shared object";
constexpr int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// At the beginning of the file. Then comes the memory of the object.
struct Header {
  std::uint64_t type;      // a hash
  std::uint64_t object;    // where it begins in the file
  std::uint64_t built_at;  // the address of the memory behind the header while it was built
};
constexpr std::size_t header_bytes = 64;  // for the alignment of what follows
static_assert(sizeof(Header) <= header_bytes);

constexpr std::size_t page = 4096;

Header const& header_of(os::Mapping const& mapping) noexcept {
  return *reinterpret_cast<Header const*>(mapping.data());
}

// The memory while the object is built.
struct Construction {
  explicit Construction(std::size_t bytes)
      : file(os::Memfd::create_sparse(file_name, (header_bytes + bytes + page - 1) / page * page)),
        mapping(file, os::Access::read_write) {}

  std::span<std::byte> memory() const noexcept { return mapping.bytes().subspan(header_bytes); }

  bool contains(void const* object, std::size_t bytes) const noexcept {
    auto const begin = reinterpret_cast<std::uintptr_t>(memory().data());
    auto const address = reinterpret_cast<std::uintptr_t>(object);
    return address >= begin && bytes <= memory().size() &&
           address - begin <= memory().size() - bytes;
  }

  os::Memfd file;
  os::Mapping mapping;
};

Construction begin_construction(std::size_t bytes) {
  try {
    return Construction(bytes);
  } catch (std::system_error const& error) {
    throw SetupError("there can be no shared object of up to " + std::to_string(bytes) +
                     " bytes: " + error.what());
  }
}

// Also for forked children.
os::Mapping map_for_reading(os::Memfd const& file) {
  return {file, os::Access::private_read, os::Visibility::children_and_dumps};
}

}  // namespace

ObjectMemory::ObjectMemory(std::uint64_t id, os::Memfd file, os::Mapping mapping)
    : Resource(id, Kind::object, {}),
      file_(std::make_unique<os::Memfd>(std::move(file))),
      mapping_(std::make_unique<os::Mapping>(std::move(mapping))),
      object_(mapping_->data() + header_of(*mapping_).object) {}

ObjectMemory::~ObjectMemory() = default;

std::shared_ptr<ObjectMemory> ObjectMemory::create(std::size_t bytes, ObjectType const& type,
                                                   Build build, void* context) {
  Construction construction = begin_construction(bytes);
  void const* const object = build(context, construction.memory());
  if (!construction.contains(object, type.bytes)) {
    throw std::invalid_argument(
        "procpool: the object that a SharedObject is to have does not lie in its memory: make it "
        "with build.construct<T>(boost::interprocess::anonymous_instance)(...)");
  }
  try {
    Header const header{type.type.hash_code(),
                        static_cast<std::uint64_t>(static_cast<std::byte const*>(object) -
                                                   construction.mapping.data()),
                        reinterpret_cast<std::uintptr_t>(construction.memory().data())};
    std::memcpy(construction.mapping.data(), &header, sizeof header);
    // The seal needs that nobody maps it for writing.
    construction.mapping = os::Mapping();
    construction.file.seal(seals);
    os::Mapping mapping = map_for_reading(construction.file);
    std::shared_ptr<ObjectMemory> const made(
        new ObjectMemory(new_id(), std::move(construction.file), std::move(mapping)));
    enter(made);
    return made;
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this object cannot be shared: ") + error.what());
  }
}

std::shared_ptr<Resource> ObjectMemory::adopt(std::uint64_t id,
                                              std::vector<os::UniqueFd>& descriptors) {
  if (descriptors.size() != 1) throw BadResource("a shared object has one descriptor");
  os::Memfd file(std::move(descriptors.front()));
  if (!file.is_memory_with(seals)) {
    throw BadResource("a shared object is not the sealed memory file that it is said to be");
  }
  os::Mapping mapping = map_for_reading(file);
  if (mapping.size() < header_bytes || header_of(mapping).object >= mapping.size()) {
    throw BadResource("a shared object does not lie in its memory");
  }
  return enter(
      std::shared_ptr<Resource>(new ObjectMemory(id, std::move(file), std::move(mapping))));
}

std::shared_ptr<ObjectMemory> ObjectMemory::find(std::uint64_t id, std::type_info const& type) {
  auto found = std::static_pointer_cast<ObjectMemory>(Resource::find(id, Kind::object));
  if (header_of(*found->mapping_).type != type.hash_code()) {
    throw SerializationError("procpool: a message names a shared object of another type");
  }
  return found;
}

// Only addresses of used memory count. The rest of the address space may be large, and a small
// number beside padding that still has half of an address is soon one there.
std::optional<std::size_t> ObjectMemory::find_raw_pointer() const {
  std::uint64_t end = 0;
  while (auto const range = file_->next_data(end)) end = range->end;
  std::uint64_t const used = end - header_bytes;
  for (auto range = file_->next_data(header_bytes); range; range = file_->next_data(range->end)) {
    for (std::uint64_t at = range->begin; at < range->end; at += sizeof(std::uintptr_t)) {
      std::uintptr_t word = 0;
      std::memcpy(&word, mapping_->data() + at, sizeof word);
      if (word - header_of(*mapping_).built_at < used) return at - header_bytes;
    }
  }
  return std::nullopt;
}

std::vector<int> ObjectMemory::descriptors() const { return {file_->fd()}; }

void refuse_object_bytes(std::size_t bytes) {
  throw std::length_error("procpool: this object needs more than the " + std::to_string(bytes) +
                          " bytes that share_object was given for it: give more. They are only "
                          "address space; memory is used as the object grows");
}

}  // namespace procpool::inline v0_1::detail
