// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Bytes: a buffer that grows without zeroing. Payload: bytes that nobody changes any more, together
// with whatever keeps them alive (a buffer, a mapping), or, where they are few, themselves. Both
// are values; a Payload may be shared between threads, a Bytes belongs to one.

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// Memory that the other side of a message sees too, see codec/message_memory.hpp: a large block
// that is written there need not be copied once more to be sent.
class MessageMemory;
inline constexpr std::size_t message_memory_from = std::size_t{64} << 10;
// Null: there is none; take ordinary memory.
PROCPOOL_API void* take_message_memory(MessageMemory& memory, std::size_t bytes) noexcept;
// False: it was not taken there.
PROCPOOL_API bool give_message_memory(void* place) noexcept;

// resize() of a std::vector writes zeros that an encoder overwrites at once; this allocator leaves
// new elements as they are. `memory` is a hint for who makes the buffer grow to its final size: he
// takes an allocator that is `for_message`, whose large blocks come from there. The hint belongs to
// the one buffer, which keeps it whatever is moved or swapped into it; where a block came from is
// found out when it goes, so all allocators are equal.
template <class T>
struct DefaultInitAllocator {
  using value_type = T;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::false_type;

  DefaultInitAllocator() = default;
  explicit DefaultInitAllocator(MessageMemory* of) noexcept : memory(of) {}
  template <class U>
  DefaultInitAllocator(DefaultInitAllocator<U> const& other) noexcept : memory(other.memory) {}

  T* allocate(std::size_t count) {
    if (active && count >= message_memory_from / sizeof(T) && memory != nullptr) {
      if (void* const place = take_message_memory(*memory, count * sizeof(T))) {
        return static_cast<T*>(place);
      }
    }
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* place, std::size_t count) noexcept {
    if (count >= message_memory_from / sizeof(T) && give_message_memory(place)) return;
    std::allocator<T>().deallocate(place, count);
  }

  DefaultInitAllocator for_message() const noexcept {
    DefaultInitAllocator active_one(memory);
    active_one.active = true;
    return active_one;
  }

  // A copy may outlive the memory.
  DefaultInitAllocator select_on_container_copy_construction() const noexcept { return {}; }

  template <class U>
  void construct(U* place) noexcept(noexcept(::new(static_cast<void*>(place)) U)) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Args>
  void construct(U* place, Args&&... args) {
    ::new (static_cast<void*>(place)) U(std::forward<Args>(args)...);
  }

  friend bool operator==(DefaultInitAllocator const&, DefaultInitAllocator const&) noexcept {
    return true;
  }

  MessageMemory* memory = nullptr;
  bool active = false;
};

using Bytes = std::vector<std::byte, DefaultInitAllocator<std::byte>>;

PROCPOOL_API void append(Bytes& out, void const* from, std::size_t size);

class Payload {
 public:
  Payload() = default;
  PROCPOOL_API explicit Payload(Bytes bytes);
  PROCPOOL_API explicit Payload(std::shared_ptr<Bytes const> bytes);
  Payload(std::shared_ptr<void const> owner, std::span<std::byte const> bytes)
      : bytes_(bytes), owner_(std::move(owner)) {}

  // With a copy of these: most results are a few bytes, which need no memory of their own.
  PROCPOOL_API static Payload copy(std::span<std::byte const> bytes);

  std::span<std::byte const> bytes() const noexcept {
    return owner_ ? bytes_ : std::span(few_).first(bytes_.size());
  }
  std::size_t size() const noexcept { return bytes_.size(); }
  // These of its bytes. They stay where they are, unless they are few.
  PROCPOOL_API Payload part(std::size_t first, std::size_t count) const;

 private:
  std::span<std::byte const> bytes_;  // without an owner only their number: they lie in few_
  std::shared_ptr<void const> owner_;
  std::array<std::byte, 16> few_{};
};

}  // namespace procpool::inline v0_1::detail
