// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Share: a value that was encoded once and lies in this process as bytes. The first reader decodes it.
// The bytes go once to each worker that gets a task which names it. Shared<T> in procpool/shared.hpp
// is the handle that users see.
//
// Any thread may call anything. A crash leaves nothing: the bytes lie in memory or in a file without
// a name.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <typeinfo>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::os {
class Memfd;
}

namespace procpool::inline v0_1::detail {

class PROCPOOL_API Share final : public Resource {
 public:
  using Load = std::shared_ptr<void const> (*)(std::span<std::byte const>);

  // A new one, in the process that has the value. `parts`: the resources that the encoded value names.
  // Throws SetupError when there is no memory, or no descriptor, for a large one.
  static std::shared_ptr<Share> create(Bytes bytes, List parts, std::type_info const& type);
  // One that arrived, whose last bytes are the ids of so many parts; these are there already.
  static std::shared_ptr<Share> adopt(std::uint64_t id, Payload payload, std::size_t parts);
  // As Resource::find.
  static std::shared_ptr<Share> find(std::uint64_t id) {
    return std::static_pointer_cast<Share>(Resource::find(id, Kind::value));
  }

  // Its serialized form: the value, then the ids of its parts.
  std::span<std::byte const> bytes() const noexcept { return payload_.bytes(); }
  // The bytes as a write-sealed memory file, made when it is first needed: for a large value that
  // was made here, at once. Throws std::system_error when there is no memory.
  os::Memfd const& sealed();

  // The value, decoded at the first call. What `load` throws passes through, and the next call
  // tries again. Throws SerializationError when it is a value of another type.
  void const* value(std::type_info const& type, Load load) {
    // Acquire: the value, and its type, were written before the pointer to it.
    void const* const ready = ready_.load(std::memory_order_acquire);
    return ready != nullptr && *type_ == type ? ready : load_value(type, load);
  }

 private:
  Share(std::uint64_t id, Payload payload, List parts, std::type_info const* type);
  static std::shared_ptr<Share> create_from(Bytes bytes, List parts, std::type_info const& type);
  void const* load_value(std::type_info const& type, Load load);

  Payload const payload_;
  Mutex sealing_;
  std::unique_ptr<os::Memfd> file_ PROCPOOL_GUARDED_BY(sealing_);  // stays, once it is there
  Mutex loading_;  // held while the value is decoded, by user code too
  // Null: still unknown. Both are written under loading_, and read without it behind ready_.
  std::type_info const* type_;
  std::shared_ptr<void const> value_ PROCPOOL_GUARDED_BY(loading_);
  std::atomic<void const*> ready_{nullptr};
};

}  // namespace procpool::inline v0_1::detail
