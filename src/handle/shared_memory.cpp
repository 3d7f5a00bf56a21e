// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Making, mapping, locking and freezing shared memory. Threads and crashes: see the header.
#include <procpool/detail/handle/shared_memory.hpp>

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <procpool/error.hpp>
#include <procpool/errors.hpp>

#include "handle/shared_doorbell.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"
#include "os/process_lock.hpp"

namespace procpool::inline v0_1::detail {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char const* file_name = "procpool shared memory";

// The first page. All zero at first.
struct Words {
  alignas(64) std::atomic<std::uint32_t> lock;
  std::atomic<std::uint32_t> poisoned;  // under the lock; 0 or not
  alignas(64) handle::DoorbellWords changes;
};

constexpr std::size_t words_bytes = 4096;
static_assert(sizeof(Words) <= words_bytes);

constexpr int always_sealed = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

// ---- the view

struct MemoryView::State {
  State(os::Memfd const& file, MemoryAccess access)
      : mapping(file,
                access == MemoryAccess::write ? os::Access::read_write : os::Access::read_only,
                os::Visibility::children_and_dumps),
        lock(words().lock, file.identity()),
        changes(words().changes) {}

  Words& words() const noexcept { return *reinterpret_cast<Words*>(mapping.data()); }

  os::Mapping mapping;
  os::ProcessLock lock;
  handle::SharedDoorbell changes;
};

MemoryView::MemoryView(os::Memfd const& file, MemoryAccess access)
    : state_(std::make_unique<State>(file, access)), data_(state_->mapping.data() + words_bytes) {}

MemoryView::~MemoryView() = default;

bool MemoryView::lock(std::optional<TimePoint> const& deadline) {
  os::LockResult const result = state_->lock.lock(deadline);
  // Relaxed: the lock carries it.
  if (result == os::LockResult::holder_died) {
    state_->words().poisoned.store(1, std::memory_order_relaxed);
  }
  return result != os::LockResult::timed_out;
}

void MemoryView::unlock() noexcept { state_->lock.unlock(); }

bool MemoryView::poisoned() const noexcept {
  return state_->words().poisoned.load(std::memory_order_relaxed) != 0;
}

void MemoryView::mend() noexcept { state_->words().poisoned.store(0, std::memory_order_relaxed); }

void MemoryView::changed() noexcept {
  handle::SharedDoorbell& changes = state_->changes;
  if (changes.anybody()) [[unlikely]]
    changes.notify_all();
}

void MemoryView::sleep(std::optional<TimePoint> const& deadline, Ready ready, void const* context) {
  auto const look = [&] { return ready(context); };
  handle::SharedDoorbell& changes = state_->changes;
  if (!changes.spin(look)) changes.sleep(deadline, look);
}

// ---- the memory

SharedMemory::SharedMemory(std::uint64_t id, os::Memfd file)
    : Resource(id, Kind::memory, {}),
      file_(std::make_unique<os::Memfd>(std::move(file))),
      size_(static_cast<std::size_t>(file_->size()) - words_bytes) {}

SharedMemory::~SharedMemory() = default;

std::shared_ptr<SharedMemory> SharedMemory::create(std::size_t count, std::size_t element_bytes) {
  // What a pointer difference and an offset in a file can hold.
  constexpr auto limit = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  if (count > (limit - words_bytes) / element_bytes) {
    throw std::length_error("procpool: " + std::to_string(count) + " elements of " +
                            std::to_string(element_bytes) +
                            " bytes are more than any shared memory can hold");
  }
  std::size_t const bytes = count * element_bytes;
  try {
    os::Memfd file = os::Memfd::create(file_name, words_bytes + bytes);
    file.seal(always_sealed);
    return std::static_pointer_cast<SharedMemory>(
        enter(std::shared_ptr<SharedMemory>(new SharedMemory(new_id(), std::move(file)))));
  } catch (std::system_error const& error) {
    throw SetupError("there can be no shared memory of " + std::to_string(bytes) +
                     " bytes: " + error.what());
  }
}

std::shared_ptr<Resource> SharedMemory::adopt(std::uint64_t id,
                                              std::vector<os::UniqueFd>& descriptors) {
  if (descriptors.size() != 1) throw BadResource("shared memory has one descriptor");
  os::Memfd file(std::move(descriptors.front()));
  // The size counts for as long as the file lives, because of the seals.
  if (!file.is_memory_with(always_sealed)) {
    throw BadResource("a descriptor is not the sealed memory file that it is said to be");
  }
  if (file.size() < words_bytes) throw BadResource("shared memory is smaller than its words");
  return enter(std::shared_ptr<SharedMemory>(new SharedMemory(id, std::move(file))));
}

std::shared_ptr<SharedMemory> SharedMemory::find(std::uint64_t id) {
  return std::static_pointer_cast<SharedMemory>(Resource::find(id, Kind::memory));
}

std::vector<int> SharedMemory::descriptors() const { return {file_->fd()}; }

std::shared_ptr<MemoryView> SharedMemory::view(MemoryAccess access) {
  Lock const lock(mapping_);
  return mapped(access);
}

std::shared_ptr<MemoryView> SharedMemory::kept_view() {
  Lock const lock(mapping_);
  if (!kept_) kept_ = mapped(MemoryAccess::write);
  return kept_;
}

std::shared_ptr<MemoryView> SharedMemory::mapped(MemoryAccess access) {
  std::weak_ptr<MemoryView>& place = access == MemoryAccess::write ? writer_ : reader_;
  if (auto known = place.lock()) return known;
  try {
    // Through a descriptor for reading only: such a view can never be made writable, so it is in
    // nobody's way who freezes the memory.
    auto const view = access == MemoryAccess::write
                          ? std::make_shared<MemoryView>(*file_, access)
                          : std::make_shared<MemoryView>(file_->reopen_read_only(), access);
    place = view;
    return view;
  } catch (std::system_error const& error) {
    if (access == MemoryAccess::write && frozen()) {
      throw SerializationError("procpool: this shared memory is frozen, so that nobody can write "
                               "to it: take it as a SharedArray<T const>");
    }
    throw SetupError(std::string("shared memory cannot be mapped: ") + error.what());
  }
}

void SharedMemory::freeze(std::shared_ptr<MemoryView>& view,
                          std::optional<TimePoint> const& deadline) {
  using std::chrono::milliseconds;
  constexpr milliseconds longest_pause{16};
  try {
    os::Memfd const readable = file_->reopen_read_only();
    for (milliseconds pause{1}; !try_freeze(view, readable);
         pause = std::min(2 * pause, longest_pause)) {
      if (deadline && Clock::now() >= *deadline) {
        throw StillShared("procpool: this shared memory cannot be frozen: somebody still has it "
                          "for writing, in this process or in another");
      }
      std::this_thread::sleep_for(pause);
    }
  } catch (std::system_error const& error) {
    throw SetupError(std::string("shared memory cannot be frozen: ") + error.what());
  }
}

// False: another process has sealed it just now.
bool SharedMemory::show_for_writing(os::Mapping& mapping) const {
  try {
    mapping.show(*file_, os::Access::read_write);
    return true;
  } catch (std::system_error const&) {
    if (!frozen()) throw;
    return false;
  }
}

// The system refuses the seal as long as anybody has a view for writing, so this process gives its own
// up first. Its addresses stay taken, so that no other thread gets them before the view is back.
bool SharedMemory::try_freeze(std::shared_ptr<MemoryView>& view, os::Memfd const& readable) {
  Lock const lock(mapping_);
  // Others get it from the weak pointer, under the lock, or from somebody who has it.
  if (view.use_count() != 1) return false;
  os::Mapping& mapping = view->state_->mapping;
  mapping.cover();
  std::exception_ptr refusal;
  try {
    file_->try_seal(F_SEAL_WRITE);
  } catch (std::system_error const&) {
    refusal = std::current_exception();
  }
  // Another process may have sealed it.
  bool sealed = frozen();
  try {
    if (!sealed) sealed = !show_for_writing(mapping);
    if (sealed) mapping.show(readable, os::Access::read_only);
  } catch (std::system_error const&) {
    // Never unmapped: the addresses may be another thread's by now.
    static_cast<void>(new std::shared_ptr<MemoryView>(std::move(view)));
    throw;
  }
  if (sealed) {
    writer_.reset();
    reader_ = view;
  } else if (refusal) {
    std::rethrow_exception(refusal);
  }
  return sealed;
}

bool SharedMemory::frozen() const noexcept {
  int const seals = file_->seals();
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

// ---- refusals

void MemoryGuard::refuse() {
  throw HolderDied("procpool: a process has died while it held the lock of this shared memory, and "
                   "its data may be half written: call with_lock(f, repair) to put that right");
}

void refuse_slice() {
  throw std::out_of_range("procpool: this slice reaches beyond the end of its SharedArray");
}

void refuse_part() {
  throw SerializationError("procpool: a message names more elements than its shared memory has");
}

}  // namespace procpool::inline v0_1::detail
