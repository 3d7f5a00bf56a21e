// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Messages from a process that has gone mad: cut, absurd, flipped, too deep. Each is refused with a
// SerializationError, and without memory for what is not there.

#include "support.hpp"

#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <new>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "support/build.hpp"

namespace {
// While set, no single allocation may exceed a mebibyte.
std::atomic<bool> guarded{false};
constexpr std::size_t most = std::size_t{1} << 20;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (guarded && bytes > most) {
    std::fputs("a refused message allocated more than 1 MiB\n", stderr);
    std::abort();
  }
  if (void* place = std::malloc(bytes)) return place;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* place) noexcept { std::free(place); }
[[gnu::noinline]] void operator delete(void* place, std::size_t) noexcept { std::free(place); }

namespace {

using namespace codec_test;

struct Guard {
  Guard() { guarded = true; }
  ~Guard() { guarded = false; }
};

struct Empty {
  bool operator==(Empty const&) const = default;
};
struct Everything {
  std::string text;
  std::vector<int> block;
  std::vector<std::string> texts;
  std::vector<bool> bits;
  std::deque<short> deque;
  std::list<std::pair<bool, int>> list;
  std::forward_list<char> forward;
  std::set<int> set;
  std::unordered_map<int, std::string> map;
  std::optional<double> maybe;
  std::variant<int, std::string, std::monostate> either;
  std::array<bool, 2> flags;
  std::bitset<5> mask;
  std::unique_ptr<int> unique;
  std::shared_ptr<std::string> shared, again;
  std::vector<Empty> nothing;
  std::filesystem::path path;
};

Everything everything() {
  Everything e{"text",
               {1, 2, 3},
               {"a", "bb"},
               {true, false, true},
               {1, 2},
               {{true, 1}, {false, 2}},
               {'a', 'b'},
               {1, 2},
               {{1, "x"}, {2, "y"}},
               2.5,
               "s",
               {true, false},
               5,
               std::make_unique<int>(3),
               std::make_shared<std::string>("z"),
               nullptr,
               std::vector<Empty>(3),
               "/p"};
  e.again = e.shared;
  return e;
}

TEST(CodecHostile, CutAnywhere) {
  auto const value = everything();
  Guard guard;
  expect_every_cut_refused(value);
}

TEST(CodecHostile, FlippedBytes) {
  auto const value = everything();
  Guard guard;
  EXPECT_GT(flip_every_byte(value, [](Everything const& e) { EXPECT_LT(e.text.size(), 1000u); }),
            100u);
}

template <class T>
void expect_absurd_count_refused() {
  for (std::uint64_t count :
       {std::uint64_t{1} << 60, ~std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{1} << 32,
        std::uint64_t{0x2000000000000001}, std::uint64_t{3} << 30}) {
    Bytes bytes(sizeof count + 16);
    std::memset(bytes.data(), 0, bytes.size());
    std::memcpy(bytes.data(), &count, sizeof count);
    Guard guard;
    EXPECT_THROW(decode<T>(bytes), procpool::SerializationError) << typeid(T).name();
  }
}

struct Own {
  template <class A>
  void serialize(A&, unsigned) {}
};

TEST(CodecHostile, AbsurdCounts) {
  expect_absurd_count_refused<std::string>();
  expect_absurd_count_refused<std::u32string>();
  expect_absurd_count_refused<std::vector<char>>();
  expect_absurd_count_refused<std::vector<double>>();
  expect_absurd_count_refused<std::vector<std::string>>();
  expect_absurd_count_refused<std::vector<bool>>();
  expect_absurd_count_refused<std::vector<std::array<bool, 4>>>();
  expect_absurd_count_refused<std::deque<int>>();
  expect_absurd_count_refused<std::list<int>>();
  expect_absurd_count_refused<std::forward_list<int>>();
  expect_absurd_count_refused<std::set<int>>();
  expect_absurd_count_refused<std::map<int, int>>();
  expect_absurd_count_refused<std::unordered_set<int>>();
  expect_absurd_count_refused<std::unordered_map<int, int>>();
  expect_absurd_count_refused<std::vector<Empty>>();
  expect_absurd_count_refused<std::list<std::monostate>>();
  expect_absurd_count_refused<std::vector<Own>>();
  expect_absurd_count_refused<std::vector<std::optional<std::array<char, 65536>>>>();
  expect_absurd_count_refused<std::filesystem::path>();
}

TEST(CodecHostile, WeightlessElementsShareOneBudget) {
  EXPECT_EQ(there_and_back(std::vector<Empty>(1 << 20)).size(), std::size_t{1} << 20);
  using Many = std::vector<std::vector<Empty>>;
  EXPECT_THROW(bytes_of(Many(3, std::vector<Empty>(1 << 19))), procpool::SerializationError);
  Bytes bytes;
  encode(bytes, std::uint64_t{3});
  for (int i = 0; i < 3; ++i) encode(bytes, std::uint64_t{1} << 19);
  EXPECT_THROW(decode<Many>(bytes), procpool::SerializationError);
}

// A claim of few bytes may not make room for a large multiple of them.
TEST(CodecHostile, LargeElementsOfFewBytes) {
  using Sparse = std::vector<std::optional<std::array<char, 65536>>>;
  Bytes bytes;
  encode(bytes, std::uint64_t{60});
  for (int i = 0; i < 60; ++i) encode(bytes, char{9});
  Guard guard;
  EXPECT_THROW(decode<Sparse>(bytes), procpool::SerializationError);
}

struct Chain {
  std::unique_ptr<Chain> next;
};
struct Bush {
  std::vector<Bush> twigs;
};
struct SharedChain {
  std::shared_ptr<SharedChain> next;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & next;
  }
};

TEST(CodecHostile, NestingHasALimitOnBothSides) {
  Chain short_chain;
  auto* last = &short_chain;
  for (int i = 0; i < 400; ++i) {
    last->next = std::make_unique<Chain>();
    last = last->next.get();
  }
  there_and_back(short_chain);
  for (int i = 0; i < 200; ++i) {
    last->next = std::make_unique<Chain>();
    last = last->next.get();
  }
  EXPECT_THROW(bytes_of(short_chain), procpool::SerializationError);

  EXPECT_THROW(decode<Chain>(Bytes(1 << 20, std::byte{1})), procpool::SerializationError);
  Bytes deep;
  for (int i = 0; i < 100000; ++i) encode(deep, std::uint64_t{1});
  EXPECT_THROW(decode<Bush>(deep), procpool::SerializationError);
  EXPECT_THROW(decode<std::shared_ptr<SharedChain>>(Bytes(1 << 20, std::byte{1})),
               procpool::SerializationError);
}

// So many that judging them takes a while.
struct Marks {
  std::array<bool, 3000> each;
};

// The message changes while it is read: what was judged is what is used.
TEST(CodecHostile, LoadsWhatItJudgesOnce) {
  if (support::thread_sanitized) GTEST_SKIP() << "the race is meant";
  // Each is the bytes of a message that are changed all the time, from one value to the other.
  auto const while_changing = [](Bytes& bytes, std::size_t at, int from, int to, auto read) {
    std::atomic<bool> end{false};
    std::thread changer([&] {
      auto* const place = reinterpret_cast<unsigned char volatile*>(bytes.data()) + at;
      while (!end) {
        for (int i = 0; i < 100; ++i) {
          *place = static_cast<unsigned char>(from);
          *place = static_cast<unsigned char>(to);
        }
      }
    });
    int values = 0;
    int refused = 0;
    auto const limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (int i = 0; i < 30'000 ||
                    ((values < 100 || refused < 100) && std::chrono::steady_clock::now() < limit);
         ++i) {
      try {
        read(bytes);
        ++values;
      } catch (procpool::SerializationError const&) {
        ++refused;
      }
    }
    end = true;
    changer.join();
    EXPECT_GT(values, 0);
    EXPECT_GT(refused, 0);
  };
  int impossible = 0;
  Bytes marks(sizeof(Marks), std::byte{1});
  while_changing(marks, 0, 1, 2, [&](Bytes const& bytes) {
    auto const value = decode<Marks>(bytes);
    unsigned char raw = 0;
    std::memcpy(&raw, value.each.data(), 1);
    impossible += raw > 1;
  });
  EXPECT_EQ(impossible, 0) << "bools that are neither";
  Bytes text(8 + 40, std::byte{0});
  text[0] = std::byte{40};
  while_changing(text, 0, 40, 200, [&](Bytes const& bytes) {
    impossible += decode<std::string>(bytes).size() != 40;
  });
  EXPECT_EQ(impossible, 0) << "strings longer than their message";
}

TEST(CodecHostile, Domains) {
  EXPECT_THROW(decode<bool>(Bytes(1, std::byte{2})), procpool::SerializationError);
  EXPECT_THROW((decode<std::pair<char, bool>>(Bytes(2, std::byte{3}))),
               procpool::SerializationError);
  EXPECT_THROW(decode<std::optional<int>>(Bytes(5, std::byte{2})), procpool::SerializationError);
  EXPECT_THROW((decode<std::variant<char, bool>>(Bytes(2, std::byte{2}))),
               procpool::SerializationError);
  EXPECT_THROW(decode<std::bitset<3>>(Bytes(1, std::byte{8})), procpool::SerializationError);
  EXPECT_THROW(decode<std::bitset<100>>(Bytes(13, std::byte{0x10})), procpool::SerializationError);
  for (unsigned size = 1; size < 80; ++size) {
    auto bytes = bytes_of(std::vector<bool>(size));
    auto const place = 8 + size / 8;
    if (size % 8 == 0) continue;
    bytes[place] = static_cast<std::byte>(1u << size % 8);
    EXPECT_THROW(decode<std::vector<bool>>(bytes), procpool::SerializationError) << size;
  }
  std::multiset<int> const twins{1, 1};
  EXPECT_THROW(decode<std::set<int>>(bytes_of(twins)), procpool::SerializationError);
}

struct Flagged {
  short number = 1;
  bool flag = true;
  char character = 'x';
};

template <class T>
void expect_each_bool_judged(T const& value, std::size_t skip = 0, std::size_t step = 1) {
  auto const bytes = bytes_of(value);
  for (std::size_t i = skip; i < bytes.size(); i += step) {
    for (unsigned bit : {0x02u, 0x40u, 0x80u}) {
      Bytes changed(bytes.begin(), bytes.end());
      changed[i] |= static_cast<std::byte>(bit);
      EXPECT_THROW(decode<T>(changed), procpool::SerializationError) << i;
    }
  }
}

// Many are judged at once.
TEST(CodecHostile, EachOfManyBoolsIsJudged) {
  expect_each_bool_judged(std::array<bool, 1>{});
  expect_each_bool_judged(std::array<bool, 31>{});
  expect_each_bool_judged(std::array<bool, 67>{});
  expect_each_bool_judged(std::vector<std::array<bool, 3>>(30), 8);
  expect_each_bool_judged(std::vector<Flagged>(30), 8 + offsetof(Flagged, flag), sizeof(Flagged));
  expect_each_bool_judged(std::vector<std::pair<bool, char>>(30), 8, 2);
}

}  // namespace
