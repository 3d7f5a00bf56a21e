// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Ranking: which candidate among numbered places has the smallest key; among equal keys the first
// place. A tournament tree: a change costs one comparison per level, an answer costs nothing. Not
// thread-safe.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace procpool::inline v0_1::parent {

class Ranking {
 public:
  using Key = std::uint64_t;
  static constexpr Key no_candidate = std::numeric_limits<Key>::max();

  explicit Ranking(std::size_t places) { resize(std::max<std::size_t>(places, 1)); }

  // Only grows. New places are no candidates. Nothing has changed if it throws std::bad_alloc.
  void resize(std::size_t places) {
    if (places <= keys_.size()) return;
    std::vector<std::uint32_t> winners(2 * std::bit_ceil(places));
    keys_.resize(winners.size() / 2, no_candidate);
    winners_ = std::move(winners);
    for (std::size_t place = 0; place < keys_.size(); ++place) {
      winners_[keys_.size() + place] = static_cast<std::uint32_t>(place);
    }
    for (std::size_t node = keys_.size() - 1; node != 0; --node) play(node);
  }

  void set(std::size_t place, Key key) noexcept {
    if (keys_[place] == key) return;
    keys_[place] = key;
    for (std::size_t node = (keys_.size() + place) / 2; node != 0; node /= 2) play(node);
  }

  std::optional<std::size_t> first() const noexcept {
    std::size_t const place = winners_[1];
    return keys_[place] == no_candidate ? std::nullopt : std::optional(place);
  }

 private:
  void play(std::size_t node) noexcept {
    std::uint32_t const left = winners_[2 * node];
    std::uint32_t const right = winners_[2 * node + 1];
    winners_[node] = keys_[right] < keys_[left] ? right : left;
  }

  std::vector<Key> keys_;               // as many as a power of two
  std::vector<std::uint32_t> winners_;  // of each subtree; [1] is the root, the leaves come last
};

}  // namespace procpool::inline v0_1::parent
