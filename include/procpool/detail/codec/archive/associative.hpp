// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sets and maps on the bare path: a 64-bit count, then the elements or the keys with their values.
// In front of it stands what the container goes by, if that has a state (functors.hpp). Two equal
// keys where there can be only one are refused. A key must be complete before it finds its place:
// it is made in the node that it will stay in.

#include <memory>
#include <tuple>
#include <utility>

#include <procpool/detail/codec/archive/containers.hpp>
#include <procpool/detail/codec/archive/functors.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace procpool::inline v0_1::detail {

template <class Container>
struct SetCodec : SequenceCodec<Container> {
  using T = typename Container::value_type;
  using Parts = Types<T, typename FunctorsOf<Container>::type>;

  static consteval bool made_whole() { return !FunctorsOf<Container>::made_anew; }

  static void save(Sink& out, Container const& value) {
    save_functors(out, value);
    SequenceCodec<Container>::save(out, value);
  }
  static Container make(Source& in) {
    Container value = make_with_functors<Container>(in);
    load(in, value);
    return value;
  }
  // Of a container that goes by the right thing.
  static void load(Source& in, Container& value) {
    Level level(in);
    auto const elements = in.count(min_size<T>());
    value.clear();
    if constexpr (requires { value.reserve(elements); }) value.reserve(room<T>(in, elements));
    for (std::size_t i = 0; i < elements; ++i) {
      load_counted<T>(in, [&] {
        put_value<T, emplaces_plainly<Container>>(in, [&](auto&& key) -> T const& {
          auto const before = value.size();
          auto const place = value.emplace_hint(value.end(), std::forward<decltype(key)>(key));
          if (has_unique_keys<Container> && value.size() == before)
            refuse("procpool: a set in a message has twins");
          return *place;
        });
      });
    }
  }
};

template <class Container>
struct MapCodec {
  using Key = typename Container::key_type;
  using Value = typename Container::mapped_type;
  using Parts = Types<Key, Value, typename FunctorsOf<Container>::type>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static consteval bool made_whole() { return !FunctorsOf<Container>::made_anew; }

  static void save(Sink& out, Container const& value) {
    save_functors(out, value);
    Level level(out);
    out.count(value.size());
    for (auto const& [key, mapped] : value) {
      if constexpr (min_size<Key>() + min_size<Value>() != 0) {
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

  static Container make(Source& in) {
    Container value = make_with_functors<Container>(in);
    load(in, value);
    return value;
  }
  // Of a container that goes by the right thing.
  static void load(Source& in, Container& value) {
    Level level(in);
    constexpr auto min_pair = [] { return min_size<Key>() + min_size<Value>(); };
    auto const elements = in.count(min_pair());
    value.clear();
    if constexpr (requires { value.reserve(elements); }) {
      value.reserve(std::min(elements, in.remaining()));
    }
    for (std::size_t i = 0; i < elements; ++i) {
      auto const bytes = in.remaining();
      if constexpr (fills_in_place<Value>()) {
        load_value(in, put_key<emplaces_plainly<Container>>(in, value)->second);
      } else if constexpr (emplaces_plainly<Container> && TakesMaker<Value>) {
        put_key<true>(in, value, Maker<Value>{in});  // called for once the key is there
      } else {
        auto const mark = in.mark();
        with_made<Key>(in, [&](Key& key) {
          will_move(in, mark, std::addressof(key));
          auto const mark_of_mapped = in.mark();
          with_made<Value>(in, [&](Value& mapped) {
            will_move(in, mark_of_mapped, std::addressof(mapped));
            auto const place = put_pair(value, std::move(key), std::move(mapped));
            has_moved(in, mark, std::addressof(key), std::addressof(place->first));
            has_moved(in, mark, std::addressof(mapped), std::addressof(place->second));
          });
        });
      }
      if (in.remaining() == bytes) in.charge_weightless(sizeof(Key) + sizeof(Value));
    }
  }

 private:
  template <bool in_place, class... Mapped>
  static auto put_key(Source& in, Container& value, Mapped const&... mapped) {
    typename Container::iterator place;
    put_value<Key, in_place>(in, [&](auto&& key) -> Key const& {
      place = put_pair(value, std::forward<decltype(key)>(key), mapped...);
      return place->first;
    });
    return place;
  }

  template <class K, class... Mapped>
  static auto put_pair(Container& value, K&& key, Mapped&&... mapped) {
    auto const before = value.size();
    auto const place = value.emplace_hint(value.end(), std::piecewise_construct,
                                          std::forward_as_tuple(std::forward<K>(key)),
                                          std::forward_as_tuple(std::forward<Mapped>(mapped)...));
    if (has_unique_keys<Container> && value.size() == before)
      refuse("procpool: a map in a message has twins");
    return place;
  }
};

template <StdSet Set>
struct StdCodec<Set> : SetCodec<Set> {};
template <StdMap Map>
struct StdCodec<Map> : MapCodec<Map> {};

}  // namespace procpool::inline v0_1::detail
