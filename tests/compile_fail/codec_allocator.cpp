// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the allocator of a container has a state
#include <procpool/detail/codec/codec.hpp>
template <class T>
struct BufferPool {
  using value_type = T;
  int number = 0;
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  bool operator==(BufferPool const&) const = default;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, std::vector<int, BufferPool<int>>());
}
