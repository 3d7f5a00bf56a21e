// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Shared values. Threads: see the header.

#include <procpool/detail/handle/share.hpp>

#include <fcntl.h>

#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/detail/call/type_name.hpp>
#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// Larger values lie in a memory file from the start, so that the workers share its pages.
constexpr std::size_t largest_in_memory = 16 * 1024;

constexpr char const* file_name = "procpool shared value";

}  // namespace

// ---- begin and end

Share::Share(std::uint64_t id, Payload payload, List parts, std::type_info const* type)
    : Resource(id, Kind::value, std::move(parts)), payload_(std::move(payload)), type_(type) {}

std::shared_ptr<Share> Share::create(Bytes bytes, List parts, std::type_info const& type) {
  try {
    return create_from(std::move(bytes), std::move(parts), type);
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this value cannot be shared: ") + error.what());
  }
}

std::shared_ptr<Share> Share::create_from(Bytes bytes, List parts, std::type_info const& type) {
  for (auto const& part : parts) {
    std::uint64_t const id = part->id();
    auto const* const raw = reinterpret_cast<std::byte const*>(&id);
    bytes.insert(bytes.end(), raw, raw + sizeof id);
  }
  std::unique_ptr<os::Memfd> file;
  Payload payload;
  if (bytes.size() > largest_in_memory) {
    file = std::make_unique<os::Memfd>(os::sealed_copy(file_name, bytes));
    bytes = Bytes();
    // Also for forked children, which may read the values of their handles.
    auto const mapping = std::make_shared<os::Mapping>(*file, os::Access::private_read,
                                                       os::Visibility::children_and_dumps);
    payload = Payload(mapping, mapping->bytes());
  } else {
    payload = Payload(std::move(bytes));
  }
  std::shared_ptr<Share> const made(
      new Share(new_id(), std::move(payload), std::move(parts), &type));
  if (file) {
    Lock const lock(made->sealing_);
    made->file_ = std::move(file);
  }
  enter(made);
  return made;
}

std::shared_ptr<Share> Share::adopt(std::uint64_t id, Payload payload, std::size_t parts) {
  if (auto known = find_living(id)) return std::static_pointer_cast<Share>(known);
  List found;
  auto const ids = payload.bytes().last(parts * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < parts; ++i) {
    std::uint64_t part = 0;
    std::memcpy(&part, ids.data() + i * sizeof part, sizeof part);
    found.push_back(find_part(part));
  }
  return std::static_pointer_cast<Share>(
      enter(std::shared_ptr<Share>(new Share(id, std::move(payload), std::move(found), nullptr))));
}

// ---- its bytes and its value

os::Memfd const& Share::sealed() {
  Lock const lock(sealing_);
  if (!file_) file_ = std::make_unique<os::Memfd>(os::sealed_copy(file_name, payload_.bytes()));
  return *file_;
}

void const* Share::load_value(std::type_info const& type, Load load) {
  Lock const lock(loading_);
  if (type_ != nullptr && *type_ != type) {
    throw SerializationError("procpool: a shared value is a " + type_name(*type_) +
                             " and was asked for as a " + type_name(type));
  }
  if (!value_) {
    auto const bytes = payload_.bytes();
    ResourceScope const scope(&parts());
    value_ = load(bytes.first(bytes.size() - parts().size() * sizeof(std::uint64_t)));
    type_ = &type;
    // Release: see value().
    ready_.store(value_.get(), std::memory_order_release);
  }
  return value_.get();
}

}  // namespace procpool::inline v0_1::detail
