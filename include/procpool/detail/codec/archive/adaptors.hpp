#pragma once

// std::stack, std::queue and std::priority_queue: the container within; in front of that of a
// priority_queue its comparator, if that has a state. Reading checks that it is a heap.

#include <algorithm>
#include <queue>
#include <stack>
#include <utility>

#include <procpool/detail/codec/archive/functors.hpp>

namespace procpool::inline v0::detail {

// What is protected in an adaptor.
template <class Adaptor>
struct Within : Adaptor {
  static auto& container(Adaptor& adaptor) { return adaptor.*(&Within::c); }
  static auto const& container(Adaptor const& adaptor) { return adaptor.*(&Within::c); }
  static auto const& compare(Adaptor const& adaptor) { return adaptor.*(&Within::comp); }
};

template <class Adaptor>
struct AdaptorCodec {
  using Container = typename Adaptor::container_type;
  using Parts = Types<Container>;
  static constexpr std::size_t least = 0;

  static consteval bool made_whole() { return !fills_in_place<Container>(); }

  static void save(Sink& out, Adaptor const& value) {
    save_value<Container>(out, Within<Adaptor>::container(value));
  }
  static void load(Source& in, Adaptor& value) {
    load_value(in, Within<Adaptor>::container(value));
  }
  static Adaptor make(Source& in) { return Adaptor(make_value<Container>(in)); }
};

template <class T, class C>
struct StdCodec<std::stack<T, C>> : AdaptorCodec<std::stack<T, C>> {};
template <class T, class C>
struct StdCodec<std::queue<T, C>> : AdaptorCodec<std::queue<T, C>> {};

template <class T, class Container, class Compare>
struct StdCodec<std::priority_queue<T, Container, Compare>> {
  using Queue = std::priority_queue<T, Container, Compare>;
  using Parts = Types<Container, Functor<Compare>>;
  static constexpr std::size_t least = 0;

  static consteval bool made_whole() {
    return !is_made_anew<Compare>() || !fills_in_place<Container>();
  }

  static void save(Sink& out, Queue const& value) {
    save_functor<Compare>(out, Within<Queue>::compare(value));
    save_value<Container>(out, Within<Queue>::container(value));
  }
  static void load(Source& in, Queue& value) {
    load_value(in, Within<Queue>::container(value));
    check(value);
  }
  static Queue make(Source& in) {
    Queue value(make_functor<Compare>(in));
    load(in, value);
    return value;
  }

 private:
  static void check(Queue const& value) {
    auto const& heap = Within<Queue>::container(value);
    if (!std::is_heap(heap.begin(), heap.end(), Within<Queue>::compare(value))) {
      refuse("procpool: a std::priority_queue in a message is no heap");
    }
  }
};

}  // namespace procpool::inline v0::detail
