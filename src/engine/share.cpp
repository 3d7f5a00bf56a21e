// Shares and their registry. Threads: see the header.

#include <procpool/detail/engine/share.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <procpool/detail/call/type_name.hpp>
#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0::detail {
namespace {

// Larger values lie in a memory file from the start, so that the workers share its pages.
constexpr std::size_t largest_in_memory = 16 * 1024;

constexpr char const* file_name = "procpool shared value";

struct Registry {
  Mutex mutex;
  std::unordered_map<std::uint64_t, std::weak_ptr<Share>> shares PROCPOOL_GUARDED_BY(mutex);
  // The reasons why shares could not arrive, by their ids.
  std::unordered_map<std::uint64_t, std::string> missed PROCPOOL_GUARDED_BY(mutex);
};

// Never destroyed: handles in static objects may end after everything else.
Registry& registry() {
  static Registry& only = *new Registry;
  return only;
}

std::atomic<std::uint64_t> ended_shares{0};

thread_local ShareCollector* collector = nullptr;

// The process number comes first: a pool in a worker gives ids beside those that the worker
// received. Process numbers have 22 bits. Asked for each id, because the program may have been
// forked.
std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return (static_cast<std::uint64_t>(::getpid()) << 40) +
         last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

// ---- begin and end

Share::Share(std::uint64_t id, Payload payload, List parts, std::type_info const* type)
    : id_(id), payload_(std::move(payload)), parts_(std::move(parts)), type_(type) {}

Share::~Share() {
  Registry& all = registry();
  {
    Lock const lock(all.mutex);
    auto const found = all.shares.find(id_);
    if (found != all.shares.end() && found->second.expired()) all.shares.erase(found);
  }
  // Relaxed: a hint that a list of weak pointers is worth a look.
  ended_shares.fetch_add(1, std::memory_order_relaxed);
}

std::uint64_t Share::ended() noexcept { return ended_shares.load(std::memory_order_relaxed); }

std::shared_ptr<Share> Share::enter(std::shared_ptr<Share> made) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  all.shares[made->id_] = made;
  all.missed.erase(made->id_);
  return made;
}

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
      new Share(next_id(), std::move(payload), std::move(parts), &type));
  if (file) {
    Lock const lock(made->sealing_);
    made->file_ = std::move(file);
  }
  return enter(made);
}

std::shared_ptr<Share> Share::adopt(std::uint64_t id, Payload payload, std::size_t parts) {
  Registry& all = registry();
  {
    Lock const lock(all.mutex);
    auto const found = all.shares.find(id);
    if (found != all.shares.end()) {
      if (auto known = found->second.lock()) return known;
    }
  }
  List found;
  auto const ids = payload.bytes().last(parts * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < parts; ++i) {
    std::uint64_t part = 0;
    std::memcpy(&part, ids.data() + i * sizeof part, sizeof part);
    found.push_back(find(part));
  }
  return enter(
      std::shared_ptr<Share>(new Share(id, std::move(payload), std::move(found), nullptr)));
}

void Share::miss(std::uint64_t id, std::string reason) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  all.missed[id] = std::move(reason);
}

std::shared_ptr<Share> Share::find(std::uint64_t id) {
  Registry& all = registry();
  {
    Lock const lock(all.mutex);
    if (auto const missed = all.missed.find(id); missed != all.missed.end()) {
      throw SetupError("the worker could not take a shared value: " + missed->second);
    }
    auto const found = all.shares.find(id);
    if (found != all.shares.end()) {
      if (auto share = found->second.lock()) return share;
    }
  }
  throw SerializationError("procpool: a message names a shared value that is no longer shared: "
                           "every handle and task of the process that shared it has let it go");
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
    value_ = load(bytes.first(bytes.size() - parts_.size() * sizeof(std::uint64_t)));
    type_ = &type;
    // Release: see value().
    ready_.store(value_.get(), std::memory_order_release);
  }
  return value_.get();
}

void refuse_empty_share() {
  throw std::logic_error("procpool: this Shared is empty: it refers to no value");
}

// ---- the collector

ShareCollector::ShareCollector(Share::List& into) noexcept : into_(into), outer_(collector) {
  collector = this;
}

ShareCollector::~ShareCollector() { collector = outer_; }

void ShareCollector::note(std::shared_ptr<Share> const& share) {
  if (collector != nullptr) collector->add(share);
}

void ShareCollector::add(std::shared_ptr<Share> const& share) {
  // Mostly it is the last one again.
  if (!into_.empty() && into_.back() == share) return;
  if (std::ranges::find(into_, share) != into_.end()) return;
  for (auto const& part : share->parts()) add(part);
  into_.push_back(share);
}

}  // namespace procpool::inline v0::detail
