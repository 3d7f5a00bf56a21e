// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Resources, their registry, and who collects them. Threads: see the header.

#include <procpool/detail/handle/resource.hpp>

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/handle/byte_pipe_end.hpp>
#include <procpool/detail/handle/object_memory.hpp>
#include <procpool/detail/handle/queue_resource.hpp>
#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "os/discard.hpp"
#include "os/fd.hpp"
#include "os/fork_safe.hpp"

namespace procpool::inline v0_1::detail {
namespace {

struct Registry {
  struct Missed {
    Resource::Kind kind;
    std::string why;
  };

  Mutex mutex;
  std::unordered_map<std::uint64_t, std::weak_ptr<Resource>> resources PROCPOOL_GUARDED_BY(mutex);
  // The reasons why resources could not arrive, by their ids.
  std::unordered_map<std::uint64_t, Missed> missed PROCPOOL_GUARDED_BY(mutex);
  struct Listener {
    std::weak_ptr<Resource::EndListener> who;
    unsigned forks;  // in a forked child it is another process's
  };
  std::vector<Listener> listeners PROCPOOL_GUARDED_BY(mutex);
  pid_t process PROCPOOL_GUARDED_BY(mutex) = 0;          // that made the last id
  std::uint64_t last_id PROCPOOL_GUARDED_BY(mutex) = 0;  // 0: none was made in this process
};

Registry& registry() { return os::fork_safe<Registry>(); }

std::atomic<std::uint64_t> ended_resources{0};

thread_local ResourceCollector* collector = nullptr;
thread_local ResourceScope const* scope = nullptr;

bool is_same_file(int one, int other) noexcept {
  struct stat a{};
  struct stat b{};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

std::uint64_t random_id() {
  std::uint64_t id = 0;
  if (::getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) {
    throw SetupError("the system gives no random numbers");
  }
  return id;
}

}  // namespace

char const* name_of(Resource::Kind kind) noexcept {
  switch (kind) {
    case Resource::Kind::value: return "a shared value";
    case Resource::Kind::memory: return "shared memory";
    case Resource::Kind::queue: return "a queue";
    case Resource::Kind::pipe_end:
    case Resource::Kind::other_pipe_end: return "a pipe end";
    case Resource::Kind::object: return "a shared object";
  }
  return "an unknown resource";
}

// ---- begin and end

// Counted from a random number on, which is another one in each process: processes make resources
// that outlive them, and process numbers come again.
std::uint64_t Resource::new_id() {
  Registry& all = registry();
  Lock const lock(all.mutex);
  // Not by the count of forks: a fork server's workers begin that anew.
  pid_t const process = ::getpid();
  if (all.last_id == 0 || all.process != process) {
    all.process = process;
    all.last_id = random_id();
  }
  if (++all.last_id == 0) ++all.last_id;  // 0 is the id of an empty handle
  return all.last_id;
}

Resource::Resource(std::uint64_t id, Kind kind, List parts) noexcept
    : id_(id), kind_(kind), parts_(std::move(parts)) {}

Resource::~Resource() {
  Registry& all = registry();
  Lock const lock(all.mutex);
  auto const found = all.resources.find(id_);
  if (found != all.resources.end() && found->second.expired()) all.resources.erase(found);
  // Relaxed: see ended(). Before the listeners look.
  ended_resources.fetch_add(1, std::memory_order_relaxed);
  for (auto const& each : all.listeners) {
    if (forked_since(each.forks)) continue;
    if (auto const listener = each.who.lock()) listener->resource_ended();
  }
}

void Resource::add_listener(std::weak_ptr<EndListener> listener) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  std::erase_if(all.listeners, [](auto const& each) { return each.who.expired(); });
  all.listeners.push_back({std::move(listener), fork_count()});
}

std::uint64_t Resource::ended() noexcept { return ended_resources.load(std::memory_order_relaxed); }

// ---- the registry

std::shared_ptr<Resource> Resource::enter(std::shared_ptr<Resource> made) {
  Registry& all = registry();
  std::shared_ptr<Resource> known;  // ends behind the lock
  Lock const lock(all.mutex);
  std::weak_ptr<Resource>& place = all.resources[made->id_];
  if ((known = place.lock())) return known;
  place = made;
  all.missed.erase(made->id_);
  return made;
}

std::shared_ptr<Resource> Resource::find_living(std::uint64_t id) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  auto const found = all.resources.find(id);
  return found == all.resources.end() ? nullptr : found->second.lock();
}

void Resource::miss(std::uint64_t id, Kind kind, std::string const& why) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  all.missed[id] = {kind, why};
}

std::shared_ptr<Resource> Resource::find_part(std::uint64_t id) {
  if (auto found = scope != nullptr ? scope->find(id) : find_living(id)) return found;
  Registry& all = registry();
  Lock const lock(all.mutex);
  if (auto const missed = all.missed.find(id); missed != all.missed.end()) {
    throw SetupError(std::string("the worker could not take ") + name_of(missed->second.kind) +
                     ": " + missed->second.why);
  }
  throw SerializationError("procpool: a message names something that is no longer shared: every "
                           "handle and task of the process that shared it has let it go");
}

std::shared_ptr<Resource> Resource::find(std::uint64_t id, Kind kind) {
  auto found = find_part(id);
  if (found->kind() != kind) {
    throw SerializationError(std::string("procpool: a message names ") + name_of(found->kind()) +
                             " in the place of " + name_of(kind));
  }
  return found;
}

std::shared_ptr<Resource> Resource::adopt(std::uint64_t id, Kind kind,
                                          std::vector<os::UniqueFd> descriptors, Sender sender) {
  // Sockets that are not taken over may hold packets of a faulty process.
  os::DiscardsRest const rest(descriptors);
  // Before it becomes a Memfd, which closes it on this thread.
  if (descriptors.empty() || !os::is_memory_file(descriptors.front().get())) {
    throw BadResource(std::string(name_of(kind)) + " came without a memory file");
  }
  if (auto known = find_living(id)) {
    // Else its sender could pass something off as what others have under this id.
    std::vector<int> const own = known->descriptors();
    if (known->kind() != kind || own.size() != descriptors.size() ||
        !std::ranges::equal(own, descriptors, is_same_file, {}, &os::UniqueFd::get)) {
      throw BadResource(std::string(name_of(kind)) + " came with the id of something else");
    }
    descriptors.clear();  // of files that this process has open
    return known;
  }
  switch (kind) {
    case Kind::value: break;
    case Kind::memory: return SharedMemory::adopt(id, descriptors);
    case Kind::queue: return QueueResource::adopt(id, descriptors);
    case Kind::pipe_end:
    case Kind::other_pipe_end: return BytePipeEnd::adopt(id, kind, descriptors);
    case Kind::object:
      if (sender == Sender::parent) return ObjectMemory::adopt(id, descriptors);
      break;
  }
  throw BadResource(std::string(name_of(kind)) + " came from a worker");
}

// ---- the collector

ResourceCollector::ResourceCollector(Resource::List& into, Receivers receivers) noexcept
    : into_(into), receivers_(receivers), outer_(collector) {
  collector = this;
}

ResourceCollector::~ResourceCollector() { collector = outer_; }

void ResourceCollector::save(std::shared_ptr<Resource> const& resource) {
  if (collector == nullptr) {
    throw SerializationError(std::string("procpool: ") + name_of(resource->kind()) +
                             " was serialized outside of a call: only a call, a result or an item "
                             "of a queue carries it to another process");
  }
  collector->add(resource);
}

void ResourceCollector::note(std::shared_ptr<Resource> const& resource) {
  if (collector != nullptr) collector->add(resource);
}

void ResourceCollector::add(std::shared_ptr<Resource> const& resource) {
  // Mostly it is the last one again.
  if (!into_.empty() && into_.back() == resource) return;
  if (std::ranges::find(into_, resource) != into_.end()) return;
  if (receivers_ == Receivers::many && resource->is_carried()) {
    throw SerializationError(std::string("procpool: ") + name_of(resource->kind()) +
                             " has one owner: give it as an argument or as a result, and not as a "
                             "part of a function or of a shared value");
  }
  for (auto const& part : resource->parts()) add(part);
  into_.push_back(resource);
}

// ---- the scope

ResourceScope::ResourceScope(Resource::List const* list) noexcept : list_(list), outer_(scope) {
  scope = this;
}

ResourceScope::~ResourceScope() { scope = outer_; }

std::shared_ptr<Resource> ResourceScope::find(std::uint64_t id) const {
  if (list_ == nullptr) return nullptr;
  auto const found = std::ranges::find(*list_, id, &Resource::id);
  return found == list_->end() ? nullptr : *found;
}

bool any_is_carried(std::span<std::shared_ptr<Resource> const> resources) noexcept {
  return std::ranges::any_of(resources, &Resource::is_carried);
}

void return_to_owner(std::span<std::shared_ptr<Resource> const> resources) noexcept {
  for (auto const& resource : resources) resource->return_to_owner();
}

std::shared_ptr<Resource::List const> as_shared(Resource::List list) {
  return list.empty() ? nullptr : std::make_shared<Resource::List const>(std::move(list));
}

void refuse_empty_handle(Resource::Kind kind) {
  throw std::logic_error(std::string("procpool: this handle is empty: it refers to ") +
                         (kind == Resource::Kind::value ? "no value" : "nothing"));
}

}  // namespace procpool::inline v0_1::detail
