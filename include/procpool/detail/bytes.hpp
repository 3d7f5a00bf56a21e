#pragma once

// Bytes: a buffer that grows without zeroing. Payload: bytes that nobody changes any more, together
// with whatever keeps them alive (a buffer, a mapping). Both are values; a Payload may be shared
// between threads, a Bytes belongs to one.

#include <cstddef>
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

  std::span<std::byte const> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }

 private:
  std::span<std::byte const> bytes_;
  std::shared_ptr<void const> owner_;
};

}  // namespace procpool::inline v0::detail
