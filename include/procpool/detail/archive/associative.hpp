#pragma once

// Sets and maps on the bare path: a 64-bit count, then the elements or the keys with their values.
// Comparators, hashes and allocators do not travel: the target keeps its own. Two equal keys where
// there can be only one are refused.

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <procpool/detail/archive/containers.hpp>

namespace procpool::inline v0::detail {

// Keys must be complete before they find their place, so they are made outside and moved in.
template <class Key>
void settled(Source& in, std::size_t mark, Key const& from, Key const& to) {
  in.moved(mark, std::addressof(from), const_cast<Key*>(std::addressof(to)), sizeof(Key));
}

template <class Container, bool unique>
struct SetCodec : SequenceCodec<Container> {
  using T = typename Container::value_type;

  static void load(Source& in, Container& value) {
    Level level(in);
    auto const elements = in.count(least_size<T>());
    value.clear();
    if constexpr (requires { value.reserve(elements); }) value.reserve(room<T>(in, elements));
    for (std::size_t i = 0; i < elements; ++i) {
      load_counted<T>(in, [&] {
        auto const mark = in.mark();
        T key = make_value<T>(in);
        auto const before = value.size();
        auto const place = value.emplace_hint(value.end(), std::move(key));
        if (unique && value.size() == before) refuse("procpool: a set in a message has twins");
        settled(in, mark, key, *place);
      });
    }
  }
};

template <class Container, bool unique>
struct MapCodec {
  using Key = typename Container::key_type;
  using Value = typename Container::mapped_type;
  using Parts = Types<Key, Value>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Container const& value) {
    Level level(out);
    out.count(value.size());
    for (auto const& [key, mapped] : value) {
      if constexpr (least_size<Key>() + least_size<Value>() != 0) {
        save_value<Key>(out, key);
        save_value<Value>(out, mapped);
      } else {
        auto const before = out.used();
        save_value<Key>(out, key);
        save_value<Value>(out, mapped);
        if (out.used() == before) out.charge_weightless(sizeof(key) + sizeof(mapped));
      }
    }
  }

  static void load(Source& in, Container& value) {
    Level level(in);
    constexpr auto least_pair = [] { return least_size<Key>() + least_size<Value>(); };
    auto const elements = in.count(least_pair());
    value.clear();
    if constexpr (requires { value.reserve(elements); }) {
      value.reserve(std::min(elements, in.remaining()));
    }
    for (std::size_t i = 0; i < elements; ++i) {
      auto const bytes = in.remaining();
      auto const mark = in.mark();
      Key key = make_value<Key>(in);
      auto const before = value.size();
      if constexpr (fills_in_place<Value>()) {
        auto const place =
            value.emplace_hint(value.end(), std::piecewise_construct,
                               std::forward_as_tuple(std::move(key)), std::forward_as_tuple());
        if (unique && value.size() == before) refuse("procpool: a map in a message has twins");
        settled(in, mark, key, place->first);
        load_value(in, place->second);
      } else {
        value.emplace_hint(value.end(), std::move(key), make_value<Value>(in));
        if (unique && value.size() == before) refuse("procpool: a map in a message has twins");
      }
      if (in.remaining() == bytes) in.charge_weightless(sizeof(Key) + sizeof(Value));
    }
  }
};

template <class... A>
struct StdCodec<std::set<A...>> : SetCodec<std::set<A...>, true> {};
template <class... A>
struct StdCodec<std::multiset<A...>> : SetCodec<std::multiset<A...>, false> {};
template <class... A>
struct StdCodec<std::unordered_set<A...>> : SetCodec<std::unordered_set<A...>, true> {};
template <class... A>
struct StdCodec<std::unordered_multiset<A...>> : SetCodec<std::unordered_multiset<A...>, false> {};
template <class... A>
struct StdCodec<std::map<A...>> : MapCodec<std::map<A...>, true> {};
template <class... A>
struct StdCodec<std::multimap<A...>> : MapCodec<std::multimap<A...>, false> {};
template <class... A>
struct StdCodec<std::unordered_map<A...>> : MapCodec<std::unordered_map<A...>, true> {};
template <class... A>
struct StdCodec<std::unordered_multimap<A...>> : MapCodec<std::unordered_multimap<A...>, false> {};

}  // namespace procpool::inline v0::detail
