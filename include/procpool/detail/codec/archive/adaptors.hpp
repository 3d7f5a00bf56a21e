// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// std::stack, std::queue and std::priority_queue: the container within; in front of that of a
// priority_queue its comparator, if that has a state. Reading checks that it is a heap.

#include <cstddef>

#include <procpool/detail/codec/archive/functors.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace procpool::inline v0_1::detail {

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

template <StdAdaptor Adaptor>
struct StdCodec<Adaptor> : AdaptorCodec<Adaptor> {};

template <StdPriorityQueue Queue>
struct StdCodec<Queue> {
  using Container = typename Queue::container_type;
  using Compare = typename Queue::value_compare;
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
    auto const& less = Within<Queue>::compare(value);
    auto const begin = heap.begin();
    for (std::size_t child = 1; child < heap.size(); ++child) {
      auto const at = [&](std::size_t index) -> decltype(auto) {
        return begin[static_cast<typename Container::difference_type>(index)];
      };
      if (less(at((child - 1) / 2), at(child))) {
        refuse("procpool: a std::priority_queue in a message is no heap");
      }
    }
  }
};

}  // namespace procpool::inline v0_1::detail
