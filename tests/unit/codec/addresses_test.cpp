// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Pointers to values that lie in containers, structs and small types: they arrive as pointers to the same
// values, wherever these were made and moved to meanwhile.

// GCC 14 takes an empty std::optional, which it sees inlined through many calls, for one that is not
// initialized.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 13
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "support.hpp"

#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace {

using namespace codec_test;

// Tracked, because there are pointers to it.
struct Name {
  std::string text;
  Name() = default;
  explicit Name(char const* t) : text(t) {}
  auto operator<=>(Name const&) const = default;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & text;
  }
};
struct Hash {
  std::size_t operator()(auto const& key) const { return key.hash(); }
};
struct Names {
  std::vector<Name> all;
  auto operator<=>(Names const&) const = default;
};
struct Hashed {
  Name name;
  bool operator==(Hashed const&) const = default;
  std::size_t hash() const { return std::hash<std::string>()(name.text); }
};
struct Fixed {
  int const number;
  Name name;
  std::vector<Name> const more;
  auto operator<=>(Fixed const&) const = default;
  bool operator==(Fixed const&) const = default;
  std::size_t hash() const { return std::hash<std::string>()(name.text); }
};
Fixed fixed(char const* text) { return {1, Name(text), {Name(text)}}; }

struct Greedy {
  Name name;
  Greedy() = default;
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, Greedy>)
  explicit Greedy(T const& t) : name(t) {}
  Greedy(Greedy const&) = default;
  Greedy(Greedy&&) = default;
  Greedy& operator=(Greedy const&) = default;
  Greedy& operator=(Greedy&&) = default;
  auto operator<=>(Greedy const&) const = default;
  std::size_t hash() const { return std::hash<std::string>()(name.text); }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & name;
  }
};

// Not filled in place by its owner's serialize, but made and assigned.
struct NoDefault {
  Name name;
  std::variant<Fixed, Greedy> rest;
};
struct Assigned {
  std::pair<Name, Greedy> pair;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pair;
  }
};

struct Ref {
  Name const* to = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & to;
  }
};

template <class Holder>
using Both = std::pair<Holder, std::vector<Ref>>;

using Found = std::vector<Name const*>;

// All names in a value, in one order.
void find(Name const& name, Found& found) { found.push_back(&name); }
template <class T>
  requires std::is_arithmetic_v<T>
void find(T const&, Found&) {}
void find(Names const& names, Found& found);
void find(Hashed const& h, Found& found) { find(h.name, found); }
void find(Fixed const& f, Found& found);
void find(Greedy const& g, Found& found) { find(g.name, found); }
void find(NoDefault const& n, Found& found);
void find(Assigned const& a, Found& found);
template <class T>
void find(std::unique_ptr<T> const& p, Found& found) {
  if (p) find(*p, found);
}
template <class T>
void find(std::shared_ptr<T> const& p, Found& found) {
  if (p) find(*p, found);
}
template <class T>
void find(std::optional<T> const& p, Found& found) {
  if (p) find(*p, found);
}
template <class A, class B>
void find(std::pair<A, B> const& p, Found& found);
template <class... Ts>
void find(std::tuple<Ts...> const& t, Found& found);
template <class... Ts>
void find(std::variant<Ts...> const& v, Found& found);
template <class C>
  requires requires(C const& c) { c.begin(); }
void find(C const& c, Found& found) {
  for (auto const& element : c) find(element, found);
}
template <class A, class B>
void find(std::pair<A, B> const& p, Found& found) {
  find(p.first, found);
  find(p.second, found);
}
template <class... Ts>
void find(std::tuple<Ts...> const& t, Found& found) {
  std::apply([&](auto const&... parts) { (find(parts, found), ...); }, t);
}
template <class... Ts>
void find(std::variant<Ts...> const& v, Found& found) {
  std::visit([&](auto const& one) { find(one, found); }, v);
}
void find(Names const& names, Found& found) { find(names.all, found); }
void find(Fixed const& f, Found& found) {
  find(f.name, found);
  find(f.more, found);
}
void find(NoDefault const& n, Found& found) {
  find(n.name, found);
  find(n.rest, found);
}
void find(Assigned const& a, Found& found) { find(a.pair, found); }

// `least`: how many names there are at the least, so that the test tests something.
template <class Holder>
void expect_found_again(Holder holder, std::size_t least = 2) {
  std::unique_ptr<Both<Holder>> const both(new Both<Holder>(std::move(holder), std::vector<Ref>()));
  Found here;
  find(both->first, here);
  ASSERT_GE(here.size(), least);
  for (auto const* name : here) both->second.push_back({name});
  auto const back = decode<std::unique_ptr<Both<Holder>>>(bytes_of(both));
  Found there;
  find(back->first, there);
  ASSERT_EQ(there.size(), here.size());
  // In a hashed container they may come in another order: found by their texts and addresses alone.
  std::multiset<Name const*> places(there.begin(), there.end());
  for (std::size_t i = 0; i < here.size(); ++i) {
    auto const* const place = back->second[i].to;
    ASSERT_EQ(places.count(place), 1u) << "dangling: name " << i << " of " << here.size();
    places.erase(place);
    EXPECT_EQ(place->text, here[i]->text);
  }
}

template <class T>
std::vector<T> two(T a, T b) {
  std::vector<T> both;
  both.push_back(std::move(a));
  both.push_back(std::move(b));
  return both;
}
Name const a("a, long enough to lie on the heap");
Name const b("b");

TEST(CodecAddresses, Sequences) {
  expect_found_again(std::vector<Name>{a, b});
  expect_found_again(std::deque<Name>{a, b});
  expect_found_again(std::list<Name>{a, b});
  expect_found_again(std::forward_list<Name>{a, b});
  expect_found_again(std::array<Name, 2>{a, b});
  expect_found_again(std::vector<std::vector<Name>>{{a}, {b}});
}

TEST(CodecAddresses, SetsAndMaps) {
  expect_found_again(std::set<Name>{a, b});
  expect_found_again(std::multiset<Name>{a, b, b}, 3);
  expect_found_again(std::unordered_set<Hashed, Hash>{{a}, {b}});
  expect_found_again(std::unordered_multiset<Hashed, Hash>{{a}, {b}, {b}}, 3);
  expect_found_again(std::map<Name, Name>{{a, b}, {b, a}}, 4);
  expect_found_again(std::multimap<Name, int>{{a, 1}, {a, 2}});
  expect_found_again(std::unordered_map<Hashed, Name, Hash>{{{a}, b}, {{b}, a}}, 4);
  expect_found_again(std::unordered_multimap<Hashed, Name, Hash>{{{a}, b}, {{a}, a}}, 4);
  expect_found_again(std::set<Names>{{{a, b}}, {{b, a}}}, 4);
  expect_found_again(std::set<std::set<Name>>{{a, b}, {b}}, 3);
  expect_found_again(std::map<std::pair<Name, int>, std::set<Name>>{{{a, 1}, {a, b}}}, 3);
}

TEST(CodecAddresses, StructsWithConstMembers) {
  expect_found_again(fixed("a"));
  expect_found_again(std::vector<Fixed>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::deque<Fixed>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::list<Fixed>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::forward_list<Fixed>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::set<Fixed>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::unordered_set<Fixed, Hash>{fixed("a"), fixed("b")}, 4);
  expect_found_again(std::map<int, Fixed>{{1, fixed("a")}, {2, fixed("b")}}, 4);
  expect_found_again(std::map<Fixed, Fixed>{{fixed("a"), fixed("b")}}, 4);
  expect_found_again(std::unordered_map<Fixed, Fixed, Hash>{{fixed("a"), fixed("b")}}, 4);
  expect_found_again(std::array<Fixed, 2>{fixed("a"), fixed("b")}, 4);
}

TEST(CodecAddresses, SmallTypes) {
  expect_found_again(std::pair<Name, Name>{a, b});
  expect_found_again(std::tuple<Name, int, Name>{a, 1, b});
  expect_found_again(std::pair<Name const, Fixed>{a, fixed("b")});
  expect_found_again(std::tuple<Name const, int const, Name>{a, 1, b});
  expect_found_again(std::tuple<std::vector<Name> const, Name>{{a}, b});
  expect_found_again(std::optional<Fixed>(fixed("a")));
  expect_found_again(std::optional<std::pair<Name, Name>>({a, b}));
  expect_found_again(std::optional<std::vector<Name> const>({a, b}));
  expect_found_again(std::variant<int, Fixed>(fixed("a")));
  expect_found_again(std::variant<int, std::pair<Name, Name>>(std::pair(a, b)));
  expect_found_again(std::variant<Fixed, Greedy>(fixed("a")));
  expect_found_again(std::variant<Fixed, Greedy>(Greedy(a)), 1);
  expect_found_again(std::vector<std::variant<Fixed, Greedy>>{fixed("a"), Greedy(a)}, 3);
  expect_found_again(std::make_unique<Fixed>(fixed("a")));
  expect_found_again(std::make_shared<Fixed>(fixed("a")));
  expect_found_again(std::make_shared<std::set<Name>>(std::set<Name>{a, b}));
  expect_found_again(two(std::make_unique<Name>(a), std::make_unique<Name>(b)));
}

// What cannot be made in its place is moved there.
TEST(CodecAddresses, MovedValues) {
  expect_found_again(std::set<Greedy>{Greedy(a), Greedy(b)});
  expect_found_again(std::map<Greedy, Fixed>{{Greedy(a), fixed("b")}}, 3);
  expect_found_again(std::map<int, std::tuple<Greedy const, Name>>{{1, {Greedy(a), b}}});
  expect_found_again(std::pair<Greedy const, Name>{Greedy(a), b});
  expect_found_again(NoDefault{a, Greedy(b)});
  expect_found_again(NoDefault{a, fixed("b")});
  expect_found_again(std::vector<NoDefault>{{a, Greedy(b)}, {b, fixed("a")}}, 4);
  expect_found_again(Assigned{{a, Greedy(b)}});
  using Pmr = std::pmr::polymorphic_allocator<Name>;
  static_assert(!emplaces_plainly<std::set<Name, std::less<>, Pmr>>);
}

// User code that moves what it loaded, and says so: as Boost's own containers do.
struct Moving {
  std::list<std::pair<int, Name>> all;
  std::vector<Ref> refs;
  template <class A>
  void serialize(A& ar, unsigned) {
    auto size = all.size();
    ar & size;
    if constexpr (A::is_loading::value) {
      for (std::size_t i = 0; i < size; ++i) {
        std::pair<int, Name> one;
        ar & one;
        all.push_back(std::move(one));
        ar.reset_object_address(&all.back(), &one);
      }
    } else {
      for (auto& one : all) ar & one;
    }
    ar & refs;
  }
};

TEST(CodecAddresses, UserCodeThatMoves) {
  Moving moving;
  moving.all = {{1, a}, {2, b}};
  for (auto const& one : moving.all) moving.refs.push_back({&one.second});
  auto const back = there_and_back(moving);
  EXPECT_EQ(back.refs[0].to, &back.all.front().second);
  EXPECT_EQ(back.refs[1].to, &back.all.back().second);
}

// A tuple is made of its parts, and to move a const vector is to copy it: its elements are elsewhere.
TEST(CodecAddresses, WhatIsLostIsRefused) {
  using Tuple = std::tuple<Name const, Fixed>;
  std::unique_ptr<Both<Tuple>> both(new Both<Tuple>(Tuple(a, fixed("b")), std::vector<Ref>(2)));
  both->second[0].to = &std::get<0>(both->first);
  both->second[1].to = &std::get<1>(both->first).name;
  auto const back = decode<std::unique_ptr<Both<Tuple>>>(bytes_of(both));
  EXPECT_EQ(back->second[0].to, &std::get<0>(back->first));
  EXPECT_EQ(back->second[1].to, &std::get<1>(back->first).name);
  both->second[1].to = std::get<1>(both->first).more.data();
  EXPECT_THROW(decode<std::unique_ptr<Both<Tuple>>>(bytes_of(both)), procpool::SerializationError);
}

// Pointed to, and so much smaller in a message than in memory that a vector of them grows as they come.
struct Part {
  int number = 0;
  std::array<char, 60> pad{};
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & number;
  }
};
struct Parts {
  char character = 'x';
  std::array<Part, 20> parts;
};
struct PartRef {
  Part* to = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & to;
  }
};
struct Growing {
  std::vector<Parts> all;
  std::vector<PartRef> some;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & all & some;
  }
};

TEST(CodecAddresses, VectorThatGrows) {
  Growing growing;
  growing.all.resize(100);
  for (auto& parts : growing.all) growing.some.push_back({&parts.parts[7]});
  auto const back = there_and_back(growing);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(back.some[i].to, &back.all[i].parts[7]) << i;
}

}  // namespace
