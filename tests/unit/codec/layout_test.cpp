// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The compile-time facts: fixed_size, bitwise and Transmissible.

#include "support.hpp"

#include <any>
#include <complex>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace {

using namespace codec_test;

struct Dense {
  int a;
  float b;
};
struct Padded {
  char a;
  int b;
};
struct WithBool {
  char a;
  bool b;
};
struct Nested {
  Dense d;
  std::array<int, 2> e;
};
struct Holder {
  std::string s;
};
enum class Truth : bool { no, yes };
struct OwnDense {
  int a = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & a;
  }
};
struct Bits {
  unsigned a : 3;
  unsigned b : 29;
};

}  // namespace

template <>
inline constexpr bool procpool::as_bytes<Bits> = true;

namespace {

static_assert(fixed_size<int> == 4 && bitwise<int>);
static_assert(fixed_size<bool> == 1 && !bitwise<bool>);
static_assert(fixed_size<Truth> == 1 && !bitwise<Truth>);
static_assert(fixed_size<std::byte> == 1 && bitwise<std::byte>);
static_assert(fixed_size<long double> == 0 && !bitwise<long double>);
static_assert(fixed_size<Dense> == 8 && bitwise<Dense>);
static_assert(fixed_size<Padded> == 0 && !bitwise<Padded>);
static_assert(fixed_size<WithBool> == 2 && !bitwise<WithBool>);
static_assert(fixed_size<Nested> == 16 && bitwise<Nested>);
static_assert(fixed_size<std::pair<int, float>> == 8 && bitwise<std::pair<int, float>>);
static_assert(fixed_size<std::pair<int, char>> == 0);
static_assert(fixed_size<std::tuple<int, int>> == 8);
static_assert(fixed_size<std::array<Dense, 3>> == 24);
static_assert(fixed_size<std::array<bool, 3>> == 3 && !bitwise<std::array<bool, 3>>);
static_assert(fixed_size<std::chrono::nanoseconds> == 8);
static_assert(fixed_size<std::complex<double>> == 16 && bitwise<std::complex<double>>);
static_assert(fixed_size<OwnDense> == 0 && !bitwise<OwnDense>);
static_assert(fixed_size<Holder> == 0 && fixed_size<std::string> == 0);
static_assert(fixed_size<int*> == 0 && fixed_size<int&> == 0);
static_assert(fixed_size<Bits> == 4 && bitwise<Bits>);

struct Raw {
  int* p;
};
struct Based : Dense {
  int c;
};
struct View {
  std::string_view v;
};
struct NoDefaultOwn {
  explicit NoDefaultOwn(int);
  template <class A>
  void serialize(A&, unsigned) {}
};
struct Poly {
  virtual ~Poly() = default;
};
struct Closer {
  void operator()(int*) const {}
};
union Either {
  int a;
  float b;
};
struct Incomplete;

using procpool::Transmissible;
static_assert(Transmissible<int> && Transmissible<Dense> && Transmissible<OwnDense>);
static_assert(Transmissible<std::map<std::string, std::vector<Holder>>>);
static_assert(Transmissible<std::unique_ptr<NoDefaultOwn>> && !Transmissible<NoDefaultOwn>);
static_assert(!Transmissible<int*> && !Transmissible<int&> && !Transmissible<void>);
static_assert(!Transmissible<Raw> && !Transmissible<std::vector<Raw>> && !Transmissible<Based>);
static_assert(!Transmissible<View> && !Transmissible<std::string_view>);
static_assert(!Transmissible<std::span<int>>);
static_assert(!Transmissible<void (*)(int)> && !Transmissible<std::function<void()>>);
static_assert(!Transmissible<std::thread> && !Transmissible<std::any>);
static_assert(!Transmissible<std::mutex>);
static_assert(!Transmissible<Poly> && !Transmissible<std::shared_ptr<Poly>>);
static_assert(!Transmissible<std::shared_ptr<void>> && !Transmissible<std::unique_ptr<int[]>>);
static_assert(!Transmissible<std::unique_ptr<int, Closer>> && !Transmissible<Either>);
static_assert(!Transmissible<int[3]> && !Transmissible<std::nullptr_t>);

TEST(CodecLayout, FixedTypesAreTheirObjectBytes) {
  auto const same = [](auto const& value) {
    auto const bytes = bytes_of(value);
    ASSERT_EQ(bytes.size(), sizeof(value));
    EXPECT_EQ(std::memcmp(bytes.data(), &value, sizeof(value)), 0);
    std::byte place[sizeof(value)];
    encode_at(place, value);
    EXPECT_EQ(std::memcmp(place, &value, sizeof(value)), 0);
  };
  same(Dense{1, 2});
  same(WithBool{'a', true});
  same(std::tuple<int, float>{1, 2.0f});
  same(std::pair<bool, char>{true, 'x'});
  same(Bits{5, 77});
  EXPECT_EQ(decode<Bits>(bytes_of(Bits{5, 77})).b, 77u);
}

}  // namespace
