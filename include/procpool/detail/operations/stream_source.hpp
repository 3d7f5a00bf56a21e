// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// StreamSource: the inputs of a stream, read one by one when they are wanted. Used by the
// consumer's thread alone; what the ranges throw passes through.

#include <optional>
#include <ranges>
#include <tuple>
#include <utility>

namespace procpool::inline v0_1::detail {

template <class... Views>
class StreamSource {
 public:
  explicit StreamSource(Views... views) : views_(std::move(views)...) {}

  // Adds the next element to the writer. False: there is none.
  template <class Writer>
  bool add_next(Writer& writer) {
    // Only now behind the last one: to look for a successor may take a while, or be all that is
    // left.
    if (places_) {
      std::apply([](auto&... place) { (++place, ...); }, *places_);
    } else {
      begin(std::index_sequence_for<Views...>{});
    }
    return add(writer, std::index_sequence_for<Views...>{});
  }

 private:
  template <std::size_t... Is>
  void begin(std::index_sequence<Is...>) {
    places_.emplace(std::ranges::begin(std::get<Is>(views_))...);
  }

  template <class Writer, std::size_t... Is>
  bool add(Writer& writer, std::index_sequence<Is...>) {
    if (((std::get<Is>(*places_) == std::ranges::end(std::get<Is>(views_))) || ...)) return false;
    writer.add(*std::get<Is>(*places_)...);
    return true;
  }

  std::tuple<Views...> views_;
  std::optional<std::tuple<std::ranges::iterator_t<Views>...>> places_;
};

}  // namespace procpool::inline v0_1::detail
