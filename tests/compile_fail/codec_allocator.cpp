// expect: the allocator of a container has a state
#include <procpool/detail/codec.hpp>
template <class T>
struct Arena {
  using value_type = T;
  int number = 0;
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  bool operator==(Arena const&) const = default;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, std::vector<int, Arena<int>>());
}
