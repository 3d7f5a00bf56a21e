#pragma once

// Bytes: a buffer that grows without zeroing. Payload: bytes that nobody changes any more, together
// with whatever keeps them alive (a buffer, a mapping), or, where they are few, themselves. Both are values; a Payload may be shared
// between threads, a Bytes belongs to one.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace procpool::inline v0::detail {

// resize() of a std::vector writes zeros that an encoder overwrites at once; this allocator leaves
// new elements as they are.
template <class T>
struct DefaultInitAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = DefaultInitAllocator<U>;
  };

  using std::allocator<T>::allocator;

  template <class U>
  void construct(U* place) noexcept(noexcept(::new(static_cast<void*>(place)) U)) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Args>
  void construct(U* place, Args&&... args) {
    ::new (static_cast<void*>(place)) U(std::forward<Args>(args)...);
  }
};

using Bytes = std::vector<std::byte, DefaultInitAllocator<std::byte>>;

class Payload {
 public:
  Payload() = default;
  explicit Payload(Bytes bytes) : Payload(std::make_shared<Bytes const>(std::move(bytes))) {}
  explicit Payload(std::shared_ptr<Bytes const> bytes) : bytes_(*bytes), owner_(std::move(bytes)) {}
  Payload(std::shared_ptr<void const> owner, std::span<std::byte const> bytes)
      : bytes_(bytes), owner_(std::move(owner)) {}

  // With a copy of these: most results are a few bytes, which need no memory of their own.
  static Payload copy(std::span<std::byte const> bytes) {
    Payload payload;
    if (bytes.size() <= payload.few_.size()) {
      std::ranges::copy(bytes, payload.few_.begin());
      payload.bytes_ = {static_cast<std::byte const*>(nullptr), bytes.size()};
    } else {
      auto const memory = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
      std::memcpy(memory.get(), bytes.data(), bytes.size());
      payload = Payload(memory, {memory.get(), bytes.size()});
    }
    return payload;
  }

  std::span<std::byte const> bytes() const noexcept {
    return owner_ ? bytes_ : std::span(few_).first(bytes_.size());
  }
  std::size_t size() const noexcept { return bytes_.size(); }

 private:
  std::span<std::byte const> bytes_;  // without an owner only their number: they lie in few_
  std::shared_ptr<void const> owner_;
  std::array<std::byte, 16> few_{};
};

}  // namespace procpool::inline v0::detail
