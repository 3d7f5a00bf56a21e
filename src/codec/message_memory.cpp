// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Blocks and the registry. What others may do with them stands in the header.
#include "codec/message_memory.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <unordered_map>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>

#include "os/fork_safe.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr std::size_t min_block = 64 * 1024;
constexpr std::size_t usual_block = std::size_t{1} << 20;

// Small ones in powers of two, so that messages of all sizes find each other's; large ones in steps
// of a sixteenth, since they are memory in earnest.
std::size_t rounded(std::size_t bytes) {
  if (bytes <= usual_block) return std::bit_ceil(std::max(bytes, min_block));
  std::size_t const step = std::bit_floor(bytes) / 16;
  return (bytes + step - 1) / step * step;
}

os::Memfd make_file(std::size_t bytes) {
  return os::Memfd::create(message_name, rounded(bytes + MessageBlock::ahead));
}

std::uint64_t next_id() noexcept {
  // Relaxed: only has to differ.
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Buffers that lie in blocks, by where they begin. A forked child has the buffers and not the
// blocks: those of another process are only forgotten.
struct Registry {
  struct Entry {
    std::shared_ptr<MessageBlock> block;
    pid_t process;
  };
  Mutex mutex;
  std::unordered_map<void const*, Entry> entries PROCPOOL_GUARDED_BY(mutex);
};

Registry& registry() { return os::fork_safe<Registry>(); }

// Without what its end would do: the locks that takes may be held for ever here.
void forget(Registry::Entry& entry) { new std::shared_ptr<MessageBlock>(std::move(entry.block)); }

}  // namespace

MessageBlock::MessageBlock(std::size_t bytes, bool readers_only)
    : id_(next_id()), file_(make_file(bytes)), view_(file_, os::Access::read_write) {
  // FUTURE_WRITE after our own mapping, which goes on working.
  file_.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (readers_only ? F_SEAL_FUTURE_WRITE : 0));
  os::enter_pages(view_.bytes(), os::Access::read_write);
}

bool MessageBlock::fits(std::size_t bytes) const noexcept {
  return bytes <= capacity() && (footprint() <= usual_block || capacity() / 4 <= bytes);
}

std::shared_ptr<MessageBlock> message_block_of(std::span<std::byte const> bytes) {
  Registry& all = registry();
  Lock const lock(all.mutex);
  auto const found = all.entries.find(bytes.data());
  if (found == all.entries.end() || found->second.process != ::getpid()) return nullptr;
  return found->second.block;
}

void* take_message_memory(MessageMemory& memory, std::size_t bytes) noexcept {
  try {
    std::shared_ptr<MessageBlock> block = memory.take(bytes);
    if (block == nullptr) return nullptr;
    void* const place = block->data();
    Registry& all = registry();
    Lock const lock(all.mutex);
    auto& entry = all.entries[place];
    if (entry.block != nullptr) forget(entry);
    entry = {std::move(block), ::getpid()};
    return place;
  } catch (...) {  // no memory: ordinary memory may be had, or its lack is told
    return nullptr;
  }
}

bool give_message_memory(void* place) noexcept {
  Registry& all = registry();
  std::shared_ptr<MessageBlock> block;  // ends after the lock: its owner has a lock of its own
  Lock const lock(all.mutex);
  auto const found = all.entries.find(place);
  if (found == all.entries.end()) return false;
  if (found->second.process == ::getpid()) {
    block = std::move(found->second.block);
  } else {
    forget(found->second);
  }
  all.entries.erase(found);
  return true;
}

}  // namespace procpool::inline v0_1::detail
