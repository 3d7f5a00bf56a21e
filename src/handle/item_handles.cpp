// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/item_handles.hpp"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/detail/handle/share.hpp>
#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "os/discard.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0_1::handle {
namespace {

using detail::BadResource;
using detail::Bytes;
using detail::Payload;
using detail::Resource;
using detail::Share;

// Behind the bytes of an item that may hold handles: one for each of them, parts first, and their
// number.
struct HandleEntry {
  std::uint64_t id;
  std::uint32_t kind;
  std::uint32_t descriptors;
  std::uint64_t parts;
};

std::atomic<Resource::Sender> sender_of_items{Resource::Sender::worker};

// A shared value travels as its sealed memory here: nobody knows who will take the item.
std::vector<int> descriptors_of(Resource& resource) {
  if (resource.kind() != Resource::Kind::value) return resource.descriptors();
  try {
    return {static_cast<Share&>(resource).sealed().fd()};
  } catch (std::system_error const& error) {
    throw SetupError(std::string("a shared value cannot be sent in an item: ") + error.what());
  }
}

std::shared_ptr<Resource> adopt_value(HandleEntry const& entry,
                                      std::vector<os::UniqueFd>& descriptors) {
  if (descriptors.size() != 1 || !os::is_memory_file(descriptors.front().get())) {
    throw BadResource("a shared value has one memory file");
  }
  os::Memfd const file(std::move(descriptors.front()));
  if (!file.is_memory_with(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)) {
    throw BadResource("a shared value is not the sealed memory file that it is said to be");
  }
  auto const mapping = std::make_shared<os::Mapping>(file, os::Access::private_read,
                                                     os::Visibility::children_and_dumps);
  if (entry.parts > mapping->size() / sizeof(std::uint64_t)) {
    throw BadResource("a shared value is smaller than the list of its parts");
  }
  if (auto const known = Resource::find_living(entry.id)) {
    // Else its sender could pass something off as what others have under this id.
    if (known->kind() != Resource::Kind::value ||
        !std::ranges::equal(static_cast<Share const&>(*known).bytes(), mapping->bytes())) {
      throw BadResource("a shared value came with the id of something else");
    }
  }
  return Share::adopt(entry.id, Payload(mapping, mapping->bytes()), entry.parts);
}

Resource::List adopt_checked(Bytes& item, std::vector<os::UniqueFd>& descriptors) {
  std::uint64_t count = 0;
  if (item.size() < sizeof count) throw BadResource("their number is missing");
  std::memcpy(&count, item.data() + item.size() - sizeof count, sizeof count);
  item.resize(item.size() - sizeof count);
  if (count > item.size() / sizeof(HandleEntry)) throw BadResource("their number is too large");
  std::vector<HandleEntry> entries(count);
  std::size_t const bytes = count * sizeof(HandleEntry);
  if (count != 0) std::memcpy(entries.data(), item.data() + item.size() - bytes, bytes);
  item.resize(item.size() - bytes);
  Resource::List adopted;
  detail::ResourceScope const parts(&adopted);  // of shared values: those that came before
  // Relaxed: it does not change any more once there are items.
  auto const sender = sender_of_items.load(std::memory_order_relaxed);
  std::size_t taken = 0;
  for (HandleEntry const& entry : entries) {
    if (entry.descriptors > descriptors.size() - taken) {
      throw BadResource("descriptors are missing");
    }
    std::vector<os::UniqueFd> own;
    os::DiscardsRest const rest(own);
    own.reserve(entry.descriptors);
    for (std::uint32_t i = 0; i < entry.descriptors; ++i) {
      own.push_back(std::move(descriptors[taken++]));
    }
    auto const kind = static_cast<Resource::Kind>(entry.kind);
    adopted.push_back(kind == Resource::Kind::value
                          ? adopt_value(entry, own)
                          : Resource::adopt(entry.id, kind, std::move(own), sender));
  }
  return adopted;
}

}  // namespace

std::vector<int> append_handles(Bytes& item, Resource::List const& handles) {
  std::vector<int> descriptors;
  for (auto const& handle : handles) {
    std::vector<int> const own = descriptors_of(*handle);
    HandleEntry const entry{handle->id(), static_cast<std::uint32_t>(handle->kind()),
                            static_cast<std::uint32_t>(own.size()), handle->parts().size()};
    detail::append(item, &entry, sizeof entry);
    descriptors.insert(descriptors.end(), own.begin(), own.end());
  }
  if (descriptors.size() > os::max_packet_fds) {
    throw SerializationError(
        "procpool: the handles in this item have " + std::to_string(descriptors.size()) +
        " descriptors, and an item can have " + std::to_string(os::max_packet_fds) + " at most");
  }
  std::uint64_t const count = handles.size();
  detail::append(item, &count, sizeof count);
  return descriptors;
}

bool append_no_handles(Bytes& item, Resource::List const& handles) noexcept {
  if (!handles.empty()) return false;
  try {
    append_handles(item, handles);
  } catch (std::bad_alloc const&) {
    return false;
  }
  return true;
}

void believe_objects() noexcept {
  sender_of_items.store(Resource::Sender::parent, std::memory_order_relaxed);
}

Resource::List adopt_handles(Bytes& item, std::vector<os::UniqueFd> descriptors) {
  os::DiscardsRest const rest(descriptors);  // of a faulty process
  try {
    return adopt_checked(item, descriptors);
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this process cannot take the handles in an item: ") +
                     error.what());
  } catch (BadResource const& error) {
    throw SerializationError(std::string("procpool: an item came with wrong handles: ") +
                             error.what());
  }
}

}  // namespace procpool::inline v0_1::handle
