// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Round trips on the bare path: every supported std type, and plain structs of them.

#include "support.hpp"
#include "support/people.hpp"

#include <bitset>
#include <complex>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace {

using namespace codec_test;
using namespace people;
using namespace std::chrono_literals;

template <class T>
void expect_same(T const& value) {
  EXPECT_TRUE(there_and_back(value) == value);
}

enum class Colour : unsigned char { red, green = 200 };
enum Old { one = 1, two };

TEST(CodecValues, Scalars) {
  expect_same(42);
  expect_same(-1LL);
  expect_same('x');
  expect_same(u8'x');
  expect_same(L'x');
  expect_same(true);
  expect_same(2.5);
  expect_same(1.0f);
  expect_same(std::numeric_limits<long double>::max());
  expect_same(-1.25L);
  expect_same(Colour::green);
  expect_same(two);
  expect_same(std::byte{7});
  expect_same(static_cast<procpool::detail::Int128>(1) << 100);
}

TEST(CodecValues, Strings) {
  expect_same(std::string());
  expect_same(std::string("with\0zero", 9));
  expect_same(std::wstring(L"wide"));
  expect_same(std::u8string(u8"eight"));
  expect_same(std::u16string(u"sixteen"));
  expect_same(std::u32string(U"thirty-two"));
  expect_same(std::filesystem::path("/a/b c"));
}

TEST(CodecValues, Sequences) {
  expect_same(std::vector<int>{1, 2, 3});
  expect_same(std::vector<std::string>{"a", "", "c"});
  expect_same(std::vector<std::vector<double>>{{1}, {}, {2, 3}});
  expect_same(std::vector<bool>{true, false, true, true, false, true, true, true, true});
  expect_same(std::vector<bool>(8, true));
  expect_same(std::vector<bool>());
  expect_same(std::vector<std::pair<int, int>>{{1, 2}, {3, 4}});
  expect_same(std::vector<std::pair<bool, char>>{{true, 'a'}, {false, 'b'}});
  expect_same(std::deque<int>{1, 2, 3});
  expect_same(std::list<std::string>{"x", "y"});
  expect_same(std::forward_list<int>{1, 2, 3});
  expect_same(std::array<int, 3>{1, 2, 3});
  expect_same(std::array<std::string, 2>{"p", "q"});
  expect_same(std::array<int, 0>{});
}

template <std::size_t... N>
void expect_same_bits(std::index_sequence<N...>) {
  auto const one = []<std::size_t n>(std::bitset<n> bits) {
    for (std::size_t i = 0; i < n; i += 1 + i % 3) bits[i] = true;
    Bytes const bytes = bytes_of(bits);
    ASSERT_EQ(bytes.size(), (n + 7) / 8);
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_EQ((std::to_integer<unsigned>(bytes[i / 8]) >> i % 8 & 1) != 0, bits[i]) << n;
    }
    EXPECT_TRUE(decode<std::bitset<n>>(bytes) == bits) << n;
  };
  (one(std::bitset<N>()), ...);
}

// Bits lie in a message as they do in memory, eight in a byte; behind the last there is nothing.
TEST(CodecValues, Bits) {
  expect_same_bits(std::index_sequence<0, 1, 7, 8, 9, 63, 64, 65, 100, 128, 1000>{});
  for (std::size_t size = 0; size < 140; ++size) {
    std::vector<bool> bits(size, true);
    for (std::size_t i = 0; i < size; i += 1 + i % 3) bits[i] = false;
    bits.reserve(200);
    bits.insert(bits.end(), 20, true);
    bits.resize(size);  // what was there lies behind the last
    Bytes const bytes = bytes_of(bits);
    ASSERT_EQ(bytes.size(), 8 + (size + 7) / 8);
    for (std::size_t i = 0; i < size; ++i) {
      EXPECT_EQ((std::to_integer<unsigned>(bytes[8 + i / 8]) >> i % 8 & 1) != 0, bits[i]);
    }
    EXPECT_TRUE(decode<std::vector<bool>>(bytes) == bits) << size;
  }
}

TEST(CodecValues, LongDoublesAndBoolsInNumbers) {
  std::vector<long double> numbers;
  for (int i = 0; i < 100; ++i) numbers.push_back(1.0L / (i + 1));
  expect_same(numbers);
  expect_same(std::array<long double, 3>{1.5L, -2.5L, 1e4000L});
  expect_same(std::list<long double>{1.5L, 2.5L});
  std::array<bool, 100> flags{};
  for (std::size_t i = 0; i < flags.size(); i += 7) flags[i] = true;
  expect_same(flags);
  expect_same(std::vector<std::array<bool, 100>>(3, flags));
  expect_same(std::vector<std::pair<bool, char>>(40, {true, 'a'}));
}

// Nothing but bytes, and yet nothing that could be assigned.
TEST(CodecValues, VectorOfConstBytes) {
  struct Constant {
    int const number;
  };
  auto const back = there_and_back(std::vector<Constant>{{1}, {2}});
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[1].number, 2);
}

// Where a block of elements lies in a message depends on what lies before it.
TEST(CodecValues, BlocksThatAreNotAligned) {
  struct alignas(32) Wide {
    std::array<double, 4> parts;
  };
  static_assert(bitwise<Wide>);
  for (std::size_t const count : {0u, 1u, 2u, 127u, 128u, 129u, 511u, 512u, 513u, 100'000u}) {
    std::vector<double> numbers(count);
    for (std::size_t i = 0; i < count; ++i) numbers[i] = static_cast<double>(i) / 3;
    std::vector<Wide> wide(count / 10 + 1);
    for (std::size_t i = 0; i < wide.size(); ++i) wide[i].parts[3] = static_cast<double>(i);
    for (std::size_t ahead = 0; ahead < 9; ++ahead) {
      auto const [text, same, wider] = there_and_back(
          std::tuple(std::string(ahead, 'x'), numbers, std::make_pair(wide, std::u32string(U"u"))));
      EXPECT_TRUE(same == numbers);
      ASSERT_EQ(wider.first.size(), wide.size());
      for (std::size_t i = 0; i < wide.size(); ++i) {
        ASSERT_EQ(wider.first[i].parts[3], static_cast<double>(i));
      }
      EXPECT_EQ(wider.second, U"u");
    }
  }
}

TEST(CodecValues, SetsAndMaps) {
  expect_same(std::set<int>{3, 1, 2});
  expect_same(std::multiset<int>{1, 1, 2});
  expect_same(std::unordered_set<std::string>{"a", "b"});
  expect_same(std::unordered_multiset<int>{1, 1, 2});
  expect_same(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}});
  expect_same(std::multimap<int, char>{{1, 'a'}, {1, 'b'}});
  expect_same(std::unordered_map<int, std::string>{{1, "x"}, {2, "y"}});
  expect_same(std::unordered_multimap<int, int>{{1, 2}, {1, 3}});
}

TEST(CodecValues, SmallTypes) {
  expect_same(std::optional<int>{});
  expect_same(std::optional<std::string>{"x"});
  expect_same(std::variant<int, std::string>{"x"});
  expect_same(std::variant<std::monostate, int>{});
  expect_same(std::monostate{});
  expect_same(std::pair<int, std::string>{1, "a"});
  expect_same(std::pair<int const, std::string>{1, "a"});
  expect_same(std::tuple<char, double, std::string>{'a', 1.5, "z"});
  expect_same(std::tuple<bool, char>{true, 'c'});
  expect_same(std::tuple<>{});
  expect_same(std::chrono::nanoseconds(5));
  expect_same(std::chrono::system_clock::now());
  expect_same(std::bitset<11>(0x5a5));
  expect_same(std::bitset<64>(~0ull));
  expect_same(std::complex<float>(1, 2));
}

struct MoveOnly {
  std::unique_ptr<Person> person;
  std::unique_ptr<int const> number;
};
struct Tree {
  int value = 0;
  std::vector<Tree> children;
  std::unique_ptr<Tree> left;
};
struct Fixed {
  int const id;
  std::string name;
};
struct NoDefault {
  explicit NoDefault(int);
};
struct Flags {
  char c;
  bool b;
  bool operator==(Flags const&) const = default;
};
struct WithUnrelatedSerialize {
  int x = 0;
  std::string serialize() const { return "unrelated"; }
};

TEST(CodecValues, PlainStructs) {
  expect_same(Empty{});
  expect_same(Person{"Ada", 1815});
  expect_same(
      Deep{{"a", 1}, {{"b", 2}, {"c", 3}}, {{"d", {"e", 4}}}, {}, Person{"f", 5}, true, {7, 8, 9}});
  expect_same(std::vector<Flags>{{'a', true}, {'b', false}});
  expect_same(std::vector<Empty>(5));
  EXPECT_EQ(there_and_back(WithUnrelatedSerialize{3}).x, 3);
}

TEST(CodecValues, MoveOnlyRecursiveAndConstMembers) {
  MoveOnly m{std::make_unique<Person>(Person{"x", 1}), std::make_unique<int const>(4)};
  auto const back = there_and_back(m);
  EXPECT_EQ(*back.person, *m.person);
  EXPECT_EQ(*back.number, 4);

  Tree tree{1, {}, std::make_unique<Tree>()};
  tree.children.resize(2);
  tree.children[1].value = 7;
  tree.left->value = 9;
  auto const grown = there_and_back(tree);
  EXPECT_EQ(grown.children[1].value, 7);
  EXPECT_EQ(grown.left->value, 9);
  EXPECT_EQ(grown.children[0].left, nullptr);

  std::vector<Fixed> fixed;
  fixed.push_back({4, "four"});
  EXPECT_EQ(there_and_back(Fixed{3, "three"}).id, 3);
  EXPECT_EQ(decode<std::vector<Fixed>>(bytes_of(fixed))[0].name, "four");
}

TEST(CodecValues, SeveralInARowAndTheBufferAfterAFailure) {
  Bytes out;
  encode(out, 1);
  encode(out, std::string("two"));
  encode(out, Person{"three", 3});
  auto const size = out.size();
  EXPECT_THROW(encode(out, std::vector<Empty>(std::size_t{1} << 21)), procpool::SerializationError);
  EXPECT_EQ(out.size(), size);
  Reader reader(out);
  EXPECT_EQ(reader.read<int>(), 1);
  EXPECT_EQ(reader.read<std::string>(), "two");
  EXPECT_THROW(reader.finish(), procpool::SerializationError);
  EXPECT_EQ(reader.read<Person>().name, "three");
  EXPECT_EQ(reader.remaining(), 0u);
  reader.finish();
}

TEST(CodecValues, LargeBlocks) {
  std::vector<double> many(3u << 20);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
  expect_same(std::pair<char, std::vector<double>>{'a', many});
}

}  // namespace
