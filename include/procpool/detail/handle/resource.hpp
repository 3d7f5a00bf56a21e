// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Resource: something that handles refer to, and that other processes can have too: a shared value,
// shared memory, a queue. A message carries its id. The rest, which is bytes or descriptors, goes
// beside the message, to each worker once.
//
// Any thread may call anything. A registry finds the living resources of this process by their ids;
// it keeps none of them alive. Between processes only the kernel counts: memory lives as long as a
// descriptor, a mapping or a packet under way refers to it. Nothing has a name, so a crash leaves
// nothing.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::os {
class UniqueFd;
}

namespace procpool::inline v0_1::detail {

// Descriptors that cannot be what a worker says they are.
class PROCPOOL_API BadResource : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class PROCPOOL_API Resource : public std::enable_shared_from_this<Resource> {
 public:
  enum class Kind : std::uint32_t {
    value = 1,
    memory = 2,
    queue = 3,
    pipe_end = 4,  // one of the two
    other_pipe_end = 5,
    object = 6,
  };
  using List = std::vector<std::shared_ptr<Resource>>;
  // The most descriptors of one resource.
  static constexpr std::size_t max_descriptors = 3;

  Resource(Resource const&) = delete;
  Resource& operator=(Resource const&) = delete;
  virtual ~Resource();

  // Never given to another resource, by no process.
  std::uint64_t id() const noexcept { return id_; }
  Kind kind() const noexcept { return kind_; }
  // The resources that this one names. They go ahead of it.
  List const& parts() const noexcept { return parts_; }
  // The descriptors that make it in another process, in their order; they stay open here. Empty for
  // a value, which is made of bytes.
  virtual std::vector<int> descriptors() const { return {}; }
  // It has one owner. Each message that names it brings it along, and no worker keeps it.
  virtual bool is_carried() const noexcept { return false; }
  // A worker may name it to its parent only if the parent has given it: the parent would decode or
  // follow what the worker wrote.
  bool goes_down_only() const noexcept { return kind_ == Kind::value || kind_ == Kind::object; }
  // A message that names it is not sent after all: the handle that it came from has it again.
  virtual void return_to_owner() noexcept {}

  // Throws SerializationError when no such resource lives in this process, or where the innermost
  // ResourceScope of this thread does not have it. Throws SetupError when it could not arrive.
  static std::shared_ptr<Resource> find(std::uint64_t id, Kind kind);
  // Who may have written what is inside of a resource that arrives.
  enum class Sender : std::uint8_t { parent, worker };
  // One that arrived from another process with these descriptors, which nobody has looked at yet.
  // Returns the one that lives here already, if there is one. Throws BadResource when they cannot be
  // what they are said to be, or may not come from the sender. Throws std::system_error when memory
  // or address space is missing.
  static std::shared_ptr<Resource> adopt(std::uint64_t id, Kind kind,
                                         std::vector<os::UniqueFd> descriptors, Sender sender);
  // One that could not arrive: until one does, find() says why.
  static void miss(std::uint64_t id, Kind kind, std::string const& why);
  // How many have ended in this process so far: a hint that a list of weak pointers is worth a look.
  static std::uint64_t ended() noexcept;
  // Told of each end, under a mutex, by whatever thread had the last handle.
  class EndListener {
   public:
    virtual void resource_ended() noexcept = 0;

   protected:
    ~EndListener() = default;
  };
  // As long as the listener lives.
  static void add_listener(std::weak_ptr<EndListener> listener);

  // The living one of this process, whatever a scope says; null if there is none.
  static std::shared_ptr<Resource> find_living(std::uint64_t id);

 protected:
  static std::uint64_t new_id();
  Resource(std::uint64_t id, Kind kind, List parts) noexcept;

  // As find(), for a part: of any kind.
  static std::shared_ptr<Resource> find_part(std::uint64_t id);
  // To be called once for each new one. If another thread was faster, returns what it has entered.
  static std::shared_ptr<Resource> enter(std::shared_ptr<Resource> made);

 private:
  std::uint64_t const id_;
  Kind const kind_;
  List const parts_;
};

// While it lives, the resources that this thread encodes or decodes the ids of, and their parts, are
// put into a list, each once and parts first. They nest: the innermost collects.
class PROCPOOL_API ResourceCollector {
 public:
  // Whether the message may name what has one owner. A message that many receive may not.
  enum class Receivers : std::uint8_t { one, many };

  explicit ResourceCollector(Resource::List& into, Receivers receivers = Receivers::one) noexcept;
  ResourceCollector(ResourceCollector const&) = delete;
  ResourceCollector& operator=(ResourceCollector const&) = delete;
  ~ResourceCollector();

  // A handle is being encoded. Throws SerializationError without a collector: a message that nobody
  // sends cannot carry a resource.
  static void save(std::shared_ptr<Resource> const& resource);
  // A handle was decoded. Without a collector it does nothing.
  static void note(std::shared_ptr<Resource> const& resource);

 private:
  void add(std::shared_ptr<Resource> const& resource);

  Resource::List& into_;
  Receivers const receivers_;
  ResourceCollector* const outer_;
};

// While it lives, this thread decodes bytes that may name these resources and no others. They nest:
// the innermost counts. Bytes of a worker, which is not trusted, are decoded so.
class PROCPOOL_API ResourceScope {
 public:
  // The list outlives the scope. Null: no resources at all.
  explicit ResourceScope(Resource::List const* list) noexcept;
  ResourceScope(ResourceScope const&) = delete;
  ResourceScope& operator=(ResourceScope const&) = delete;
  ~ResourceScope();

 private:
  friend class Resource;

  std::shared_ptr<Resource> find(std::uint64_t id) const;

  Resource::List const* const list_;
  ResourceScope const* const outer_;
};

PROCPOOL_API bool any_is_carried(std::span<std::shared_ptr<Resource> const> resources) noexcept;

// The messages that name these are not sent after all.
PROCPOOL_API void return_to_owner(std::span<std::shared_ptr<Resource> const> resources) noexcept;

// The resources that a message names, until it is sent. If it is not, handles that had given them
// away have them again.
class NamedResources {
 public:
  NamedResources() = default;
  NamedResources(NamedResources const&) = delete;
  NamedResources& operator=(NamedResources const&) = delete;
  ~NamedResources() { return_to_owner(list_); }

  Resource::List& list() noexcept { return list_; }
  void sent() noexcept { list_.clear(); }

 private:
  Resource::List list_;
};

// Null for an empty list.
PROCPOOL_API std::shared_ptr<Resource::List const> as_shared(Resource::List list);

// "a shared value": for error texts.
PROCPOOL_API char const* name_of(Resource::Kind kind) noexcept;

[[noreturn]] PROCPOOL_API void refuse_empty_handle(Resource::Kind kind);  // std::logic_error

}  // namespace procpool::inline v0_1::detail
