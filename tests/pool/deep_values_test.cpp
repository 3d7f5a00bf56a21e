// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Values that nest too deep for the stack of whoever encodes or decodes them: an error of their
// element, on either side, and nobody dies.

#include <procpool.hpp>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <pthread.h>

#include <gtest/gtest.h>

#include "support/build.hpp"

namespace {

// A value whose own code takes much of the stack: a worker's 8 MiB are gone before the levels are.
struct Heavy {
  std::vector<Heavy> inner;
  template <class A>
  [[gnu::noinline]] void serialize(A& ar, unsigned) {
    auto* const volatile much = static_cast<char*>(__builtin_alloca(40 << 10));
    ar & inner;
    (void)much;
  }
};

struct Large {
  std::array<char, 20000> pad{};
  std::set<Large> inner;
  bool operator<(Large const& o) const { return inner.size() < o.inner.size(); }
};

Heavy heavy(int levels) {
  Heavy whole;
  for (int i = 0; i < levels; ++i) {
    Heavy outer;
    outer.inner.push_back(std::move(whole));
    whole = std::move(outer);
  }
  return whole;
}

Large large_of(int levels) {
  auto whole = std::make_unique<Large>();
  for (int i = 0; i < levels; ++i) {
    auto outer = std::make_unique<Large>();
    outer->inner.insert(std::move(*whole));
    whole = std::move(outer);
  }
  return std::move(*whole);
}

int depth(Large const& value) {
  int levels = 0;
  for (auto const* at = &value; !at->inner.empty(); at = &*at->inner.begin()) ++levels;
  return levels;
}

int one_value() { return 1; }

TEST(DeepValues, ResultTooDeepForTheWorkersStackIsAnErrorOfItsElement) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<heavy>(20).inner.size(), 1u);
  auto const pid = pool.call<::getpid>();
  EXPECT_THROW(pool.call<heavy>(240), procpool::SerializationError);
  EXPECT_EQ(pool.call<::getpid>(), pid);
}

TEST(DeepValues, LargeElementsDoNotLieOnTheStack) {
  procpool::ProcessPool pool{1};
  auto const value = std::make_unique<Large>(pool.call<large_of>(400));
  EXPECT_EQ(depth(*value), 400);
  EXPECT_EQ(pool.call<depth>(*value), 400);
}

TEST(DeepValues, ResultTooDeepForAThreadIsAnErrorThere) {
  procpool::ProcessPool pool{1};
  auto const look = [](void* argument) -> void* {
    auto& given = *static_cast<procpool::ProcessPool*>(argument);
    auto future = given.submit<heavy>(60);
    EXPECT_THROW(future.get(), procpool::SerializationError);
    EXPECT_EQ(given.call<one_value>(), 1);
    return nullptr;
  };
  ::pthread_attr_t attributes;
  ASSERT_EQ(::pthread_attr_init(&attributes), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&attributes, std::size_t{1} << 20), 0);
  ::pthread_t thread{};
  ASSERT_EQ(::pthread_create(&thread, &attributes, look, &pool), 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

}  // namespace
