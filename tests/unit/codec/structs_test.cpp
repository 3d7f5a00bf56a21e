// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Plain structs: what is counted as a member, and that each kind of member arrives.

#include "support.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace structs {

struct Empty {
  bool operator==(Empty const&) const = default;
};
struct NoDefault {
  explicit NoDefault(int);
};
struct Made {  // no default constructor, but plain
  int const id;
  std::string name;
};
struct Base {
  int x;
};
union Either {
  int a;
  float b;
};
union Word {
  int a;
  float b;
};

}  // namespace structs

template <>
inline constexpr bool procpool::as_bytes<structs::Word> = true;

namespace {

using namespace codec_test;
using namespace structs;
using namespace procpool::detail;
using std::is_same_v;

int global = 0;

template <class T, std::size_t members>
constexpr bool has = counted<T>.makeup == Makeup::fields && counted<T>.count == members;
template <class T>
constexpr Makeup makeup = counted<T>.makeup;

struct NestedArrays {
  std::array<std::string, 2> texts;
};
struct CArrays {
  int a;
  double b[3];
  std::string c[2][2];
  char d;
};
struct MoveOnlyInside {
  std::optional<std::unique_ptr<int>> a;
  std::tuple<std::unique_ptr<int>> b;
  std::array<int, 0> c;
  std::array<std::unique_ptr<int>, 0> d;
  std::vector<std::unique_ptr<int>> e;
  std::variant<std::unique_ptr<int>, int> f;
};
struct NeedsArguments {
  std::optional<NoDefault> a;
  NoDefault b;
  std::variant<NoDefault, int> c;
  std::tuple<NoDefault> d;
  std::array<NoDefault, 2> e;
  std::function<void()> f;
  std::optional<std::optional<NoDefault>> g;
};
struct ArraysBesides {
  int a[3];
  NoDefault b;
  std::string c[2];
  Empty d;
};
struct Initialised {
  NoDefault a = NoDefault(1);
  std::vector<int> b = {1, 2};
  int c = 3;
};
struct Huge {
  char a[100'001];
  int b;
};
struct SharesAddress {
  [[no_unique_address]] Empty a;
  int b;
  Empty c;
};
struct Bits {
  unsigned a : 3;
  int : 0;
  unsigned b : 5;
  bool c : 1;
};
struct ConstBits {
  unsigned const a : 3;
};
struct Reference {
  int a;
  int& b;
};
struct ConstReference {
  int const& a;
};
struct RvalueReference {
  int a;
  int&& b;
};
struct InitialisedReference {
  int a;
  int& b = global;
  int c;
};
struct Anonymous {
  int a;
  union {
    int b;
    float c;
  };
};
struct Named {
  Either a;
  NoDefault b;
};
struct Derived : Base {
  NoDefault y;
};
struct Constructed : NoDefault {
  int y;
};

static_assert(has<Empty, 0> && has<NestedArrays, 1> && has<CArrays, 4> && has<MoveOnlyInside, 6>);
static_assert(has<NeedsArguments, 7> && has<ArraysBesides, 4> && has<Initialised, 3>);
static_assert(has<Huge, 2> && has<SharesAddress, 3>);
static_assert(is_same_v<fields_t<CArrays>, Types<int, double[3], std::string[2][2], char>>);
static_assert(is_same_v<fields_t<Made>, Types<int const, std::string>>);
static_assert(is_same_v<fields_t<Reference>, Types<int, int&>>);
static_assert(is_same_v<fields_t<ConstReference>, Types<int const&>>);
static_assert(is_same_v<fields_t<RvalueReference>, Types<int, int&&>>);
static_assert(is_same_v<fields_t<InitialisedReference>, Types<int, int&, int>>);
static_assert(has<Bits, 3> && declared_t<Bits>::bit_fields && declared_t<ConstBits>::bit_fields);
static_assert(!declared_t<Made>::bit_fields && fixed_size<Bits> == 0);
static_assert(makeup<Anonymous> == Makeup::union_member && makeup<Named> == Makeup::union_member);
static_assert(makeup<Derived> == Makeup::base && makeup<Constructed> == Makeup::base);
static_assert(fixed_size<Huge> == 0 && fixed_size<int[3]> == 12);

#define EIGHT(p) int p##0, p##1, p##2, p##3, p##4, p##5, p##6, p##7;
struct Most {
  EIGHT(a)
  EIGHT(b)
  EIGHT(c) EIGHT(d) EIGHT(e) EIGHT(f) EIGHT(g) EIGHT(h) EIGHT(i) EIGHT(j) EIGHT(k) EIGHT(l) EIGHT(m)
};
struct More {
  EIGHT(a)
  EIGHT(b)
  EIGHT(c)
  EIGHT(d) EIGHT(e) EIGHT(f) EIGHT(g) EIGHT(h) EIGHT(i) EIGHT(j) EIGHT(k) EIGHT(l) EIGHT(m) int n;
};
struct Mixed {  // not one block
  EIGHT(a) EIGHT(b) EIGHT(c) EIGHT(d) EIGHT(e) EIGHT(f) EIGHT(g) EIGHT(h) std::string last;
};
#undef EIGHT
static_assert(has<Most, max_fields> && makeup<More> == Makeup::too_many && has<Mixed, 65>);

struct PackedAndArrays {
  char magic[4];
  unsigned version : 4;
  unsigned flags : 28;
  std::string names[2];
  bool operator==(PackedAndArrays const&) const = default;
};
struct ConstArrays {
  int const numbers[2][2];
  std::string const names[2];
  Made made[2];
};
struct Flags {
  bool flags[3];
  char c;
  bool operator==(Flags const&) const = default;
};
struct WithKnownUnion {
  int a;
  Word word;
};

TEST(CodecStructs, CArraysTravel) {
  CArrays const value{1, {2, 3, 4}, {{"a", "b"}, {"c", "d"}}, 'e'};
  auto const back = there_and_back(value);
  EXPECT_EQ(back.a, 1);
  EXPECT_EQ(std::to_array(back.b), std::to_array(value.b));
  EXPECT_EQ(back.c[0][1], "b");
  EXPECT_EQ(back.c[1][0], "c");
  EXPECT_EQ(back.d, 'e');
  expect_every_cut_refused(value);

  auto const huge = std::make_unique<Huge>();
  huge->a[99'999] = 'z';
  huge->b = 7;
  auto const bytes = bytes_of(*huge);
  auto const back_huge = decode<std::unique_ptr<Huge>>(bytes_of(huge));
  EXPECT_EQ(bytes.size(), sizeof(Huge::a) + sizeof(int));
  EXPECT_EQ(back_huge->a[99'999], 'z');
  EXPECT_EQ(back_huge->b, 7);
}

TEST(CodecStructs, BoolsInCArraysAreChecked) {
  static_assert(fixed_size<Flags> == 4 && !bitwise<Flags>);
  Flags const value{{true, false, true}, 'c'};
  EXPECT_TRUE(there_and_back(value) == value);
  auto bytes = bytes_of(value);
  bytes[2] = std::byte{2};
  EXPECT_THROW(decode<Flags>(bytes), procpool::SerializationError);
}

TEST(CodecStructs, BitFieldsTravel) {
  Bits const bits{5, 17, true};
  auto const back = there_and_back(bits);
  EXPECT_EQ(back.a, 5u);
  EXPECT_EQ(back.b, 17u);
  EXPECT_TRUE(back.c);
  EXPECT_EQ(there_and_back(ConstBits{6}).a, 6u);
  PackedAndArrays const packed{{'E', 'L', 'F', '\0'}, 3, 1000, {"one", "two"}};
  EXPECT_TRUE(there_and_back(packed) == packed);
  EXPECT_TRUE(there_and_back(std::vector(3, packed)) == std::vector(3, packed));
}

TEST(CodecStructs, ConstArraysTravel) {
  auto const back = there_and_back(ConstArrays{{{1, 2}, {3, 4}}, {"a", "b"}, {{5, "c"}, {6, "d"}}});
  EXPECT_EQ(back.numbers[1][0], 3);
  EXPECT_EQ(back.names[1], "b");
  EXPECT_EQ(back.made[1].id, 6);
  EXPECT_EQ(back.made[0].name, "c");
}

struct ConstElements {
  std::array<std::vector<int> const, 2> lists;
  std::array<std::string, 2> const texts;
  std::optional<std::string const> maybe;
  std::tuple<std::string const, int> both;
  int after;
};

TEST(CodecStructs, ConstElementsTravel) {
  ConstElements const value{{{{1, 2}, {3}}}, {"a", "b"}, "c", {"d", 4}, 5};
  auto const back = there_and_back(value);
  EXPECT_EQ(back.lists, value.lists);
  EXPECT_EQ(back.texts, value.texts);
  EXPECT_EQ(back.maybe, value.maybe);
  EXPECT_EQ(back.both, value.both);
  EXPECT_EQ(back.after, 5);
}

TEST(CodecStructs, MoveOnlyMembersTravel) {
  MoveOnlyInside value{};
  value.a = std::make_unique<int>(1);
  std::get<0>(value.b) = std::make_unique<int>(2);
  value.e.push_back(std::make_unique<int>(3));
  value.f = 4;
  auto const back = there_and_back(value);
  EXPECT_EQ(**back.a, 1);
  EXPECT_EQ(*std::get<0>(back.b), 2);
  EXPECT_EQ(*back.e.at(0), 3);
  EXPECT_EQ(std::get<1>(back.f), 4);
  EXPECT_EQ(there_and_back(NestedArrays{{"a", "b"}}).texts[1], "b");
}

TEST(CodecStructs, ManyMembersTravel) {
  Mixed mixed{};
  mixed.a0 = 1;
  mixed.h7 = 64;
  mixed.last = "last";
  auto const back = there_and_back(mixed);
  EXPECT_EQ(back.a0, 1);
  EXPECT_EQ(back.h7, 64);
  EXPECT_EQ(back.last, "last");
  Most most{};
  most.m7 = 104;
  EXPECT_EQ(there_and_back(most).m7, 104);
}

TEST(CodecStructs, AUnionThatIsItsBytesIsAMember) {
  WithKnownUnion value{1, {.b = 2.5F}};
  EXPECT_EQ(there_and_back(value).word.b, 2.5F);
}

using procpool::Transmissible;
static_assert(!Transmissible<Reference> && !Transmissible<ConstReference>);
static_assert(!Transmissible<InitialisedReference> && !Transmissible<Anonymous>);
static_assert(!Transmissible<Named> && !Transmissible<More> && !Transmissible<NeedsArguments>);

// A struct that cannot be filled in place is made of all parts at once, of a bounded number.
struct MuchConst {
  int const a[257];
};
static_assert(!Transmissible<MuchConst>);

}  // namespace
