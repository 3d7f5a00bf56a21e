// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Comparators, hashes and allocators: what a container goes by arrives with it, or is refused.

#include "support.hpp"

#include <functional>
#include <list>
#include <map>
#include <memory_resource>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace codec_test;

struct Order {
  bool down = false;
  bool operator()(int a, int b) const { return down ? b < a : a < b; }
};
struct ByColumn {  // neither default constructible nor assignable
  std::size_t const column;
  std::vector<int> const weights;
  bool operator()(std::vector<int> const& a, std::vector<int> const& b) const {
    return a.at(column) * weights.at(0) < b.at(column) * weights.at(0);
  }
};
class Own {  // says by itself how it travels
 public:
  Own() = default;
  explicit Own(int modulus) : modulus_(modulus) {}
  bool operator()(int a, int b) const { return a % modulus_ < b % modulus_; }
  int modulus() const { return modulus_; }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & modulus_;
  }

 private:
  int modulus_ = 1;
};
struct Seeded {
  std::size_t seed = 0;
  std::size_t operator()(std::string const& text) const {
    return std::hash<std::string>{}(text) ^ seed;
  }
};
struct Alike {
  bool ignore_length = false;
  bool operator()(std::string const& a, std::string const& b) const {
    return ignore_length ? a.substr(0, 1) == b.substr(0, 1) : a == b;
  }
};
using Lambda = decltype([](int a, int b) { return a > b; });

using Sorted = std::set<int, Order>;

template <class Container>
auto listed(Container const& container) {
  return std::vector<typename Container::value_type>(container.begin(), container.end());
}

TEST(CodecFunctors, ComparatorsArriveWithTheirState) {
  Sorted const down({1, 2, 3}, Order{true});
  auto const back = there_and_back(down);
  EXPECT_TRUE(back.key_comp().down);
  EXPECT_EQ(listed(back), (std::vector{3, 2, 1}));
  expect_every_cut_refused(down);

  std::multiset<int, Own> const rest({7, 5, 6, 5}, Own(5));
  auto const back_rest = there_and_back(rest);
  EXPECT_EQ(back_rest.key_comp().modulus(), 5);
  EXPECT_EQ(listed(back_rest), listed(rest));

  using Rows = std::map<std::vector<int>, int, ByColumn>;
  Rows rows(ByColumn{1, {-1}});
  rows[{1, 2}] = 1;
  rows[{2, 3}] = 2;
  auto const back_rows = there_and_back(rows);
  EXPECT_EQ(back_rows.begin()->second, 2);
  EXPECT_EQ(back_rows.key_comp().weights, std::vector{-1});

  std::multimap<int, std::string, Order> several(Order{true});
  several.insert({{1, "a"}, {2, "b"}, {2, "c"}});
  EXPECT_EQ(there_and_back(several).begin()->second, "b");
}

TEST(CodecFunctors, HashesAndEqualitiesArriveWithTheirState) {
  std::unordered_set<std::string, Seeded, Alike> const some({"ab", "b"}, 3, Seeded{77},
                                                            Alike{true});
  auto const back = there_and_back(some);
  EXPECT_EQ(back.hash_function().seed, 77u);
  EXPECT_TRUE(back.key_eq().ignore_length);
  EXPECT_EQ(back.count("ab"), 1u);

  std::unordered_map<std::string, int, Seeded> known(0, Seeded{5});
  known["x"] = 1;
  auto const back_known = there_and_back(known);
  EXPECT_EQ(back_known.hash_function().seed, 5u);
  EXPECT_EQ(back_known.at("x"), 1);
}

TEST(CodecFunctors, AlsoInsideOfOtherValues) {
  struct Holder {
    int before;
    Sorted sorted;
    std::string after;
  };
  Sorted const down({1, 2}, Order{true});
  auto const first = [](Sorted const& sorted) { return *sorted.begin(); };
  auto const holder = there_and_back(Holder{1, down, "x"});
  EXPECT_EQ(first(holder.sorted), 2);
  EXPECT_EQ(holder.after, "x");
  EXPECT_EQ(first(there_and_back(std::vector{down, down}).at(1)), 2);
  EXPECT_EQ(first(there_and_back(std::map<int, Sorted>{{7, down}}).at(7)), 2);
  EXPECT_EQ(first(*there_and_back(std::optional{down})), 2);
  EXPECT_EQ(first(std::get<1>(there_and_back(std::variant<int, Sorted>{down}))), 2);
  EXPECT_EQ(first(std::get<0>(there_and_back(std::tuple{down, 1}))), 2);
  EXPECT_EQ(first(there_and_back(std::array<Sorted, 2>{down, down})[1]), 2);
  EXPECT_EQ(first(*there_and_back(std::make_unique<Sorted>(down))), 2);
  EXPECT_EQ(first(*there_and_back(std::make_shared<Sorted>(down))), 2);
  std::set<Sorted> const nested{down};
  EXPECT_EQ(first(*there_and_back(nested).begin()), 2);
}

TEST(CodecFunctors, WithoutAStateTheyTakeNoBytes) {
  std::set<int, Lambda> const down{1, 2};
  EXPECT_EQ(bytes_of(down).size(), bytes_of(std::set<int>{1, 2}).size());
  EXPECT_EQ(listed(there_and_back(down)), (std::vector{2, 1}));
}

TEST(CodecFunctors, Adaptors) {
  std::priority_queue<int, std::vector<int>, Order> least(Order{true});
  for (int const n : {3, 1, 2}) least.push(n);
  EXPECT_EQ(there_and_back(least).top(), 1);
  expect_every_cut_refused(least);

  std::priority_queue<std::pair<int, std::string>> most;
  for (int const n : {3, 1, 4}) most.push({n, std::to_string(n)});
  auto back = there_and_back(most);
  EXPECT_EQ(back.top().second, "4");
  back.pop();
  EXPECT_EQ(back.top().second, "3");

  std::stack<std::string> stack;
  stack.push("a");
  stack.push("b");
  EXPECT_TRUE(there_and_back(stack) == stack);
  std::queue<std::string, std::list<std::string>> queue;
  queue.push("a");
  queue.push("b");
  EXPECT_TRUE(there_and_back(queue) == queue);
}

TEST(CodecFunctors, WhatIsNoHeapIsRefused) {
  using Queue = std::priority_queue<int>;
  EXPECT_EQ(decode<Queue>(bytes_of(std::vector{3, 1, 2})).top(), 3);
  EXPECT_THROW(decode<Queue>(bytes_of(std::vector{1, 2, 3})), procpool::SerializationError);
}

TEST(CodecFunctors, PmrContainersComeWithTheDefaultResource) {
  std::pmr::monotonic_buffer_resource memory;
  std::pmr::vector<std::pmr::string> const texts({"a", "a longer text, not a small one"}, &memory);
  auto const back = there_and_back(texts);
  EXPECT_EQ(back, texts);
  EXPECT_EQ(back.get_allocator().resource(), std::pmr::get_default_resource());
  std::pmr::map<int, std::pmr::string> const map({{1, "x"}}, &memory);
  EXPECT_EQ(there_and_back(map).at(1), "x");
}

template <class T>
struct Numbered {  // an allocator with a state
  using value_type = T;
  int number = 0;
  Numbered() = default;
  template <class U>
  explicit Numbered(Numbered<U> const& other) : number(other.number) {}
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  bool operator==(Numbered const&) const = default;
};
struct WithPointer {
  int* weights;
  bool operator()(int, int) const;
};
struct NeedsArgument {
  explicit NeedsArgument(int);
  bool operator()(int, int) const;
};

using procpool::Transmissible;
using Pointer = bool (*)(int, int);
static_assert(!Transmissible<std::set<int, Pointer>> &&
              !Transmissible<std::map<int, int, Pointer>>);
static_assert(!Transmissible<std::multiset<int, std::function<bool(int, int)>>>);
static_assert(!Transmissible<std::multimap<int, int, std::reference_wrapper<Order>>>);
static_assert(!Transmissible<std::priority_queue<int, std::vector<int>, Pointer>>);
static_assert(!Transmissible<std::unordered_set<int, std::size_t (*)(int)>>);
static_assert(!Transmissible<std::unordered_map<int, int, std::hash<int>, Pointer>>);
static_assert(!Transmissible<std::set<int, WithPointer>>);
static_assert(!Transmissible<std::set<int, NeedsArgument>>);
static_assert(!Transmissible<std::vector<std::set<int, Pointer>>>);
static_assert(!Transmissible<std::vector<int, Numbered<int>>>);
static_assert(!Transmissible<std::set<int, std::less<>, Numbered<int>>>);
static_assert(!Transmissible<std::basic_string<char, std::char_traits<char>, Numbered<char>>>);

}  // namespace
