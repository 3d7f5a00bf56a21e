// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The first candidate is what a search through all places finds.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <vector>

#include "parent/ranking.hpp"

namespace procpool::parent {
namespace {

constexpr auto none = Ranking::no_candidate;

std::optional<std::size_t> found_by_search(std::vector<Ranking::Key> const& keys) {
  auto const least = std::ranges::min_element(keys);
  return *least == none ? std::nullopt
                        : std::optional(static_cast<std::size_t>(least - keys.begin()));
}

TEST(Ranking, TheSmallestKeyIsFirstAndOfEqualOnesTheFirstPlace) {
  std::mt19937 random(7);
  for (std::size_t const places : {1u, 2u, 3u, 8u, 100u}) {
    Ranking ranking(places);
    std::vector<Ranking::Key> keys(places, none);
    EXPECT_FALSE(ranking.first());
    for (int i = 0; i < 2'000; ++i) {
      std::size_t const place = random() % places;
      keys[place] = random() % 3 == 0 ? none : random() % 10;
      ranking.set(place, keys[place]);
      ASSERT_EQ(ranking.first(), found_by_search(keys)) << places << " places, step " << i;
    }
  }
}

TEST(Ranking, KeepsItsCandidatesWhenItGrows) {
  Ranking ranking(2);
  ranking.set(1, 5);
  ranking.resize(70);
  EXPECT_EQ(ranking.first(), 1u);
  ranking.set(69, 4);
  EXPECT_EQ(ranking.first(), 69u);
  ranking.resize(3);
  EXPECT_EQ(ranking.first(), 69u) << "it only grows";
}

TEST(Ranking, OfNoPlacesHasNoCandidate) { EXPECT_FALSE(Ranking(0).first()); }

}  // namespace
}  // namespace procpool::parent
