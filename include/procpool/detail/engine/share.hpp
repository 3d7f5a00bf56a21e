#pragma once

// Share: a value that was encoded once and lies in this process as bytes. The first reader decodes it.
// Tasks carry its id. The bytes go once to each worker that gets such a task.
// Shared<T> in procpool/shared.hpp is the handle that users see.
//
// Any thread may call anything. A registry finds the living shares of this process by their ids; it
// keeps none of them alive. A crash leaves nothing: the bytes lie in memory or in a file without a
// name.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <typeinfo>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0::os {
class Memfd;
}

namespace procpool::inline v0::detail {

class PROCPOOL_API Share {
 public:
  using List = std::vector<std::shared_ptr<Share>>;
  using Load = std::shared_ptr<void const> (*)(std::span<std::byte const>);

  // A new one, in the process that has the value. `parts`: the shares that the encoded value names.
  // Throws SetupError when there is no memory, or no descriptor, for a large one.
  static std::shared_ptr<Share> create(Bytes bytes, List parts, std::type_info const& type);
  // One that arrived, whose last bytes are the ids of so many parts; these are there already.
  static std::shared_ptr<Share> adopt(std::uint64_t id, Payload payload, std::size_t parts);
  // One that could not arrive: until one does, find() says why.
  static void miss(std::uint64_t id, std::string reason);
  // Throws SerializationError when no such share lives in this process, SetupError when it could
  // not arrive.
  static std::shared_ptr<Share> find(std::uint64_t id);
  // How many have ended in this process so far.
  static std::uint64_t ended() noexcept;

  Share(Share const&) = delete;
  Share& operator=(Share const&) = delete;
  ~Share();

  // Never given to another value by this program or by a pool within one of its tasks.
  std::uint64_t id() const noexcept { return id_; }
  // Its serialized form: the value, then the ids of its parts.
  std::span<std::byte const> bytes() const noexcept { return payload_.bytes(); }
  List const& parts() const noexcept { return parts_; }
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
  static std::shared_ptr<Share> enter(std::shared_ptr<Share> made);
  void const* load_value(std::type_info const& type, Load load);

  std::uint64_t const id_;
  Payload const payload_;
  List const parts_;
  Mutex sealing_;
  std::unique_ptr<os::Memfd> file_ PROCPOOL_GUARDED_BY(sealing_);  // stays, once it is there
  Mutex loading_;  // held while the value is decoded, by user code too
  // Null: still unknown. Both are written under loading_, and read without it behind ready_.
  std::type_info const* type_;
  std::shared_ptr<void const> value_ PROCPOOL_GUARDED_BY(loading_);
  std::atomic<void const*> ready_{nullptr};
};

// While it lives, the shares that this thread encodes or decodes the ids of, and their parts, are
// put into a list, each once and parts first. They nest: the innermost collects.
class PROCPOOL_API ShareCollector {
 public:
  explicit ShareCollector(Share::List& into) noexcept;
  ShareCollector(ShareCollector const&) = delete;
  ShareCollector& operator=(ShareCollector const&) = delete;
  ~ShareCollector();

  // Without a collector it does nothing.
  static void note(std::shared_ptr<Share> const& share);

 private:
  void add(std::shared_ptr<Share> const& share);

  Share::List& into_;
  ShareCollector* const outer_;
};

[[noreturn]] PROCPOOL_API void refuse_empty_share();  // std::logic_error

}  // namespace procpool::inline v0::detail
