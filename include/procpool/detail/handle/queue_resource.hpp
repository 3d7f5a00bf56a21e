// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// QueueResource: a queue of bytes between processes, as a resource. Queue<T> in procpool/queue.hpp is
// the handle that users see. Any thread may call anything.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <typeinfo>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/sync_points.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {
class ByteQueue;
}

namespace procpool::inline v0_1::detail {

class PROCPOOL_API QueueResource final : public Resource {
 public:
  using Deadline = std::optional<TimePoint>;  // nothing: for ever

  // Does not wait.
  static constexpr Deadline at_once = TimePoint::min();

  // A new one, for items of this type. `handles`: items may hold some. Throws SetupError when there is
  // no memory or no descriptor.
  static std::shared_ptr<QueueResource> create(std::type_info const& type, std::size_t items,
                                               std::size_t bytes, unsigned redeliver, bool handles);
  // As Resource::adopt, of one that does not live here. Takes the descriptors that it uses.
  static std::shared_ptr<Resource> adopt(std::uint64_t id, std::vector<os::UniqueFd>& descriptors);
  // As Resource::find. Throws SerializationError when its items are of another type.
  static std::shared_ptr<QueueResource> find(std::uint64_t id, std::type_info const& type);

  std::vector<int> descriptors() const override;

  // False: there is no room until the deadline. Throws QueueClosed, and what ByteQueue::push throws.
  bool push(std::span<std::byte const> item, Deadline const& deadline);
  // The same for an item that may hold handles: these go with it. Appends to its bytes. Throws
  // SerializationError when they are too many.
  bool push(Bytes& item, List const& handles, Deadline const& deadline);
  // False: there is nothing until the deadline, or ever.
  bool pop(Bytes& item, Deadline const& deadline);
  // The same for an item that may hold handles, which come with it. Throws SerializationError when
  // they are not what they are said to be, SetupError when this process lacks memory or descriptors
  // for them.
  bool pop(Bytes& item, List& handles, Deadline const& deadline);
  // The item that this thread took last is given by its next pop: once.
  void keep(Bytes& item) noexcept;
  // The same for an item that may hold handles. One that holds some is not kept.
  void keep(Bytes& item, List const& handles) noexcept;
  void done() noexcept;
  unsigned attempts() const noexcept;
  void close();
  bool closed() const;
  bool drained();
  std::size_t size() const;
  std::uint64_t lost();

 private:
  QueueResource(std::uint64_t id, std::shared_ptr<handle::ByteQueue> queue) noexcept;

  std::shared_ptr<handle::ByteQueue> const queue_;
};

// A buffer for the bytes of one item. The thread keeps its memory for the next one.
class PROCPOOL_API ItemBytes {
 public:
  ItemBytes() noexcept;
  ItemBytes(ItemBytes const&) = delete;
  ItemBytes& operator=(ItemBytes const&) = delete;
  ~ItemBytes();

  Bytes& operator*() noexcept { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace procpool::inline v0_1::detail
