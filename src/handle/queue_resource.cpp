// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/handle/queue_resource.hpp>

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "handle/byte_queue.hpp"
#include "handle/item_handles.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// More is not kept between two items.
constexpr std::size_t kept_bytes = std::size_t{64} << 10;

// Static objects and those of the thread may use queues while it ends.
constinit thread_local bool spare_is_gone = false;
struct Spare {
  Bytes bytes;
  ~Spare() { spare_is_gone = true; }
};
thread_local Spare spare;

bool is_taken(handle::ByteQueue::Push result) {
  if (result == handle::ByteQueue::Push::closed) {
    throw QueueClosed("this queue takes no more items: it was closed");
  }
  return result == handle::ByteQueue::Push::done;
}

}  // namespace

QueueResource::QueueResource(std::uint64_t id, std::shared_ptr<handle::ByteQueue> queue) noexcept
    : Resource(id, Kind::queue, {}), queue_(std::move(queue)) {}

std::shared_ptr<QueueResource> QueueResource::create(std::type_info const& type, std::size_t items,
                                                     std::size_t bytes, unsigned redeliver,
                                                     bool handles) {
  if (redeliver > handle::max_redeliver) {
    throw std::invalid_argument("procpool: QueueOptions::redeliver is " +
                                std::to_string(redeliver) + ", and can be " +
                                std::to_string(handle::max_redeliver) + " at most");
  }
  try {
    auto queue = handle::ByteQueue::create({.type = type.hash_code(),
                                            .items = items,
                                            .bytes = bytes,
                                            .redeliver = redeliver,
                                            .tray = handles ? std::uint64_t{1} : std::uint64_t{0}});
    std::shared_ptr<QueueResource> made(new QueueResource(new_id(), std::move(queue)));
    enter(made);
    return made;
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this queue cannot be made: ") + error.what());
  }
}

std::shared_ptr<Resource> QueueResource::adopt(std::uint64_t id,
                                               std::vector<os::UniqueFd>& descriptors) {
  try {
    auto queue = handle::ByteQueue::adopt(descriptors);
    return enter(std::shared_ptr<Resource>(new QueueResource(id, std::move(queue))));
  } catch (std::system_error const&) {
    throw;
  } catch (std::runtime_error const& error) {
    throw BadResource(error.what());
  }
}

std::shared_ptr<QueueResource> QueueResource::find(std::uint64_t id, std::type_info const& type) {
  auto found = std::static_pointer_cast<QueueResource>(Resource::find(id, Kind::queue));
  if (found->queue_->shape().type != type.hash_code()) {
    throw SerializationError("procpool: a message names a queue whose items are of another type");
  }
  return found;
}

std::vector<int> QueueResource::descriptors() const { return queue_->descriptors(); }

bool QueueResource::push(std::span<std::byte const> item, Deadline const& deadline) {
  return is_taken(queue_->push(item, deadline));
}

bool QueueResource::push(Bytes& item, List const& handles, Deadline const& deadline) {
  std::vector<int> const descriptors = handle::append_handles(item, handles);
  try {
    return is_taken(queue_->push(item, deadline, descriptors));
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this process cannot send the handles in an item: ") +
                     error.what());
  }
}

bool QueueResource::pop(Bytes& item, Deadline const& deadline) {
  return queue_->pop(item, deadline) == handle::ByteQueue::Pop::item;
}

bool QueueResource::pop(Bytes& item, List& handles, Deadline const& deadline) {
  std::vector<os::UniqueFd> descriptors;
  try {
    if (queue_->pop(item, deadline, &descriptors) != handle::ByteQueue::Pop::item) return false;
  } catch (std::system_error const& error) {
    throw SetupError(std::string("this process cannot take the handles in an item: ") +
                     error.what());
  }
  handles = handle::adopt_handles(item, std::move(descriptors));
  return true;
}

void QueueResource::keep(Bytes& item) noexcept { queue_->keep(item); }
void QueueResource::keep(Bytes& item, List const& handles) noexcept {
  if (handle::append_no_handles(item, handles)) keep(item);
}
void QueueResource::done() noexcept { queue_->done(); }
unsigned QueueResource::attempts() const noexcept { return queue_->attempts(); }
void QueueResource::close() { queue_->close(); }
bool QueueResource::closed() const { return queue_->closed(); }
bool QueueResource::drained() { return queue_->drained(); }
std::size_t QueueResource::size() const { return queue_->size(); }
std::uint64_t QueueResource::lost() { return queue_->lost(); }

// An item whose code uses queues while it is encoded gets a buffer of its own.
ItemBytes::ItemBytes() noexcept {
  if (!spare_is_gone) bytes_ = std::move(spare.bytes);
  bytes_.clear();
}

ItemBytes::~ItemBytes() {
  if (!spare_is_gone && bytes_.capacity() <= kept_bytes) spare.bytes = std::move(bytes_);
}

}  // namespace procpool::inline v0_1::detail
