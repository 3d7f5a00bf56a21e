// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Round trips of less common types, and what a message may not claim of them: error codes,
// calendars, random number engines, valarray, atomic, boost::optional, structs with a base, and
// values that load_construct_data makes.

#include "support.hpp"

#include <atomic>
#include <bit>
#include <deque>
#include <list>
#include <locale>
#include <map>
#include <memory>
#include <numeric>
#include <queue>
#include <random>
#include <stack>
#include <string>
#include <system_error>
#include <valarray>
#include <vector>

#include <boost/optional.hpp>
#include <boost/serialization/optional.hpp>
#include <boost/serialization/vector.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_serialize.hpp>

namespace {

using namespace codec_test;
using namespace std::chrono_literals;

template <class T>
void expect_same(T const& value) {
  EXPECT_TRUE(there_and_back(value) == value);
}

// ---- error codes

class Weather final : public std::error_category {
 public:
  char const* name() const noexcept override { return "weather"; }
  std::string message(int value) const override { return value == 1 ? "rain" : "sun"; }
};
Weather const weather;

TEST(CodecErrorCodes, EqualWhatWasSent) {
  expect_same(std::error_code());
  expect_same(std::make_error_code(std::errc::no_space_on_device));
  expect_same(std::error_code(-5, std::system_category()));
  expect_same(std::make_error_condition(std::errc::timed_out));
  expect_same(std::vector{std::error_code(1, weather), std::error_code(2, weather)});
  expect_same(std::error_condition(1, weather));
  auto const rain = there_and_back(std::error_code(1, weather));
  EXPECT_EQ(&rain.category(), &weather);
  EXPECT_EQ(rain.message(), "rain");
}

// A category on the heap has no place that another process could find.
TEST(CodecErrorCodes, OfAnUnknownCategoryKeepNumberAndName) {
  auto const category = std::make_unique<Weather>();
  auto const arrived = there_and_back(std::error_code(7, *category));
  EXPECT_EQ(arrived.value(), 7);
  EXPECT_STREQ(arrived.category().name(), "weather");
  EXPECT_NE(arrived.category(), weather);
}

TEST(CodecErrorCodes, HostileBytesGiveACodeOrARefusal) {
  expect_every_cut_refused(std::error_code(3, std::generic_category()));
  expect_every_cut_refused(std::error_code(1, weather));
  auto const look = [](std::error_code const& code) {
    EXPECT_FALSE(code.message().empty());
    EXPECT_NE(code.category().name(), nullptr);
  };
  flip_every_byte(std::error_code(3, std::generic_category()), look);
  EXPECT_GT(flip_every_byte(std::error_code(1, weather), look), 0u);
}

// ---- calendars

TEST(CodecCalendars, ATimeOfDayTravels) {
  using namespace std::chrono;
  auto const expect_travels = [](auto const& time) {
    auto const arrived = there_and_back(time);
    EXPECT_EQ(arrived.to_duration(), time.to_duration());
    EXPECT_EQ(arrived.is_negative(), time.is_negative());
    EXPECT_EQ(arrived.subseconds(), time.subseconds());
  };
  expect_travels(hh_mm_ss(13h + 14min + 15s));
  expect_travels(hh_mm_ss(26h));
  expect_travels(hh_mm_ss(-3min));
  expect_travels(hh_mm_ss(1h + 2ns));
  expect_travels(hh_mm_ss(duration<double>(1.5)));
  for (int count = -4; count < 5; ++count) {
    expect_travels(hh_mm_ss(duration<int, std::ratio<1, 3>>(count)));
  }
  expect_travels(hh_mm_ss<seconds>());
}

TEST(CodecCalendars, EveryTypeTravels) {
  using namespace std::chrono;
  expect_same(day(31));
  expect_same(month(12));
  expect_same(year(-5));
  expect_same(year::min());
  expect_same(Sunday);
  expect_same(Tuesday[3]);
  expect_same(Friday[last]);
  expect_same(November / 30);
  expect_same(February / last);
  expect_same(May / Monday[2]);
  expect_same(May / Monday[last]);
  expect_same(2026y / June);
  expect_same(2026y / November / 30);
  expect_same(2024y / February / last);
  expect_same(2024y / May / Monday[2]);
  expect_same(2024y / May / Monday[last]);
  expect_same(std::vector<year_month_day>{2026y / 1 / 2, 2026y / 2 / 30});
  expect_same(std::optional(2026y / 1 / 2));
  expect_same(sys_days(2026y / 1 / 2));
  expect_same(local_days(2026y / 1 / 2));
}

TEST(CodecCalendars, ADateTakesFourBytesAndHostileOnesAreDates) {
  using namespace std::chrono;
  EXPECT_EQ(bytes_of(2026y / November / 30).size(), 4u);
  expect_every_cut_refused(2026y / November / 30);
  EXPECT_EQ(flip_every_byte(2026y / November / Friday[2],
                            [](auto const& date) { EXPECT_FALSE(date.ok() && !date.year().ok()); }),
            0u);
}

// ---- engines

template <class Engine>
void expect_same_engine() {
  Engine engine(12345);
  for (int drawn : {0, 1, 5, 30, 623, 1000}) {
    engine.discard(static_cast<unsigned long long>(drawn));
    auto arrived = there_and_back(engine);
    ASSERT_TRUE(arrived == engine) << "after " << drawn;
    EXPECT_EQ(arrived(), engine());
  }
}

TEST(CodecEngines, GoOnWhereTheyWere) {
  expect_same_engine<std::minstd_rand0>();
  expect_same_engine<std::minstd_rand>();
  expect_same_engine<std::mt19937>();
  expect_same_engine<std::mt19937_64>();
  expect_same_engine<std::ranlux24_base>();
  expect_same_engine<std::ranlux48_base>();
  expect_same_engine<std::ranlux24>();
  expect_same_engine<std::ranlux48>();
  expect_same_engine<std::knuth_b>();
  expect_same_engine<std::independent_bits_engine<std::mt19937, 48, std::uint64_t>>();
  expect_same_engine<std::shuffle_order_engine<std::ranlux24, 7>>();
}

struct Group final : std::numpunct<char> {
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

// The text is not written as numbers are for people.
TEST(CodecEngines, WhateverTheLocale) {
  std::locale const before = std::locale::global(std::locale(std::locale(), new Group));
  expect_same_engine<std::mt19937>();
  std::locale::global(before);
}

template <class Engine>
void expect_refused(std::string const& text) {
  EXPECT_THROW(decode<Engine>(bytes_of(text)), procpool::SerializationError) << text;
}

std::string zeros(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "0 ";
  return text;
}

// The text of an engine, its last number another one.
template <class Engine>
std::string ending(std::string const& last) {
  std::ostringstream out;
  out << Engine(1);
  auto text = std::move(out).str();
  while (text.ends_with(' ')) text.pop_back();
  return text.substr(0, text.rfind(' ') + 1) + last;
}

TEST(CodecEngines, RefuseWhatWouldLeaveTheirTables) {
  expect_refused<std::mt19937>(ending<std::mt19937>("625"));
  expect_refused<std::mt19937>(ending<std::mt19937>("-1"));
  expect_refused<std::mt19937>(ending<std::mt19937>("1 1"));
  expect_refused<std::mt19937>(ending<std::mt19937>("x"));
  expect_refused<std::mt19937>("4294967296 " + ending<std::mt19937>("1"));
  expect_refused<std::mt19937>("");
  expect_refused<std::ranlux24_base>(ending<std::ranlux24_base>("24"));
  expect_refused<std::ranlux48_base>(ending<std::ranlux48_base>("12"));
  expect_refused<std::ranlux24>(ending<std::ranlux24>("224"));
  expect_refused<std::knuth_b>(ending<std::knuth_b>("4294967295"));
  expect_refused<std::minstd_rand>("2147483647");
  EXPECT_TRUE(decode<std::mt19937>(bytes_of(ending<std::mt19937>("624"))) == std::mt19937(1));
}

TEST(CodecEngines, RefuseAStateThatIsZeroForEver) {
  expect_refused<std::mt19937>(zeros(624) + "624");
  expect_refused<std::ranlux24_base>(zeros(24) + "0 0");
  expect_refused<std::minstd_rand>("0");
}

TEST(CodecEngines, HostileBytesGiveAnEngineOrARefusal) {
  expect_every_cut_refused(std::minstd_rand(7));
  auto const draw = [](auto engine) {
    for (int i = 0; i < 100; ++i) static_cast<void>(engine());
  };
  flip_every_byte(std::ranlux24(7), draw);
  flip_every_byte(std::shuffle_order_engine<std::minstd_rand0, 5>(7), draw);
}

// ---- valarray, atomic, boost::optional, adaptors, uuid

template <class T>
void expect_same_array(std::valarray<T> const& value) {
  auto const arrived = there_and_back(value);
  ASSERT_EQ(arrived.size(), value.size());
  for (std::size_t i = 0; i < value.size(); ++i) EXPECT_EQ(arrived[i], value[i]) << i;
}

TEST(CodecValarray, Travels) {
  expect_same_array(std::valarray<double>{1.5, -2, 3});
  expect_same_array(std::valarray<double>());
  expect_same_array(std::valarray<bool>{true, false, true});
  expect_same_array(std::valarray<long double>{1.5L, 2.5L});
  expect_same_array(std::valarray<std::string>{"a", "", "c"});
  EXPECT_EQ(bytes_of(std::valarray<double>(10)).size(), 8 + 80u);
}

TEST(CodecValarray, AbsurdCountsAndBoolsAreRefused) {
  expect_every_cut_refused(std::valarray<int>{1, 2});
  expect_every_cut_refused(std::valarray<std::string>{"a", "b"});
  Bytes bytes = bytes_of(std::uint64_t{1} << 60);
  EXPECT_THROW(decode<std::valarray<char>>(bytes), procpool::SerializationError);
  EXPECT_THROW(decode<std::valarray<std::string>>(bytes), procpool::SerializationError);
  bytes = bytes_of(std::valarray<bool>{true});
  bytes.back() = std::byte{2};
  EXPECT_THROW(decode<std::valarray<bool>>(bytes), procpool::SerializationError);
}

struct Counters {
  std::atomic<int> hits{0};
  std::atomic<double> load{0};
  std::string name;
};

TEST(CodecAtomics, TravelAsTheirValueWhereTheyNeedNotMove) {
  auto counters = std::make_unique<Counters>();
  counters->hits = 3;
  counters->load = 0.5;
  counters->name = "a";
  auto const arrived = there_and_back(counters);
  EXPECT_EQ(arrived->hits, 3);
  EXPECT_EQ(arrived->load, 0.5);
  EXPECT_EQ(arrived->name, "a");
  std::map<std::string, std::atomic<long>> by_name;
  by_name["x"] = 5;
  EXPECT_EQ(there_and_back(by_name).at("x"), 5);
  std::list<std::atomic<bool>> flags;
  flags.emplace_back(true);
  EXPECT_TRUE(there_and_back(flags).front());
  std::deque<std::atomic<int>> row;
  row.emplace_back(7);
  EXPECT_EQ(there_and_back(row).front(), 7);
}

TEST(CodecBoostOptional, Travels) {
  struct Constant {
    int const number;
    bool operator==(Constant const&) const = default;
  };
  expect_same(boost::optional<std::string>("x"));
  expect_same(boost::optional<std::string>());
  expect_same(boost::optional<Constant>(Constant{3}));
  expect_same(std::vector<boost::optional<int>>{1, boost::none});
  expect_every_cut_refused(boost::optional<int>(1));
}

TEST(CodecAdaptors, Travel) {
  std::queue<int> queue;
  std::stack<std::string> stack;
  std::priority_queue<int> best;
  for (int i = 0; i < 5; ++i) queue.push(i), stack.push(std::to_string(i)), best.push(i * 3 % 5);
  expect_same(queue);
  expect_same(stack);
  auto arrived = there_and_back(best);
  for (; !best.empty(); best.pop(), arrived.pop()) EXPECT_EQ(arrived.top(), best.top());
  EXPECT_TRUE(arrived.empty());
}

TEST(CodecUuid, Travels) {
  boost::uuids::uuid id{};
  std::iota(id.begin(), id.end(), static_cast<unsigned char>(1));
  expect_same(id);
  expect_same(std::vector{id, id});
}

// ---- structs with a base

template <class T>
struct Tagged {};
struct Other {};

struct Point : Tagged<Point>, Other {
  double x, y;
  bool operator==(Point const& other) const { return x == other.x && y == other.y; }
};
struct Named : Tagged<Named> {
  std::string name;
  std::vector<int> numbers;
  bool operator==(Named const& other) const {
    return name == other.name && numbers == other.numbers;
  }
};
struct ConstNamed : Tagged<ConstNamed> {
  std::string const name;
  int const numbers[2];
};
struct Plainer {
  std::string text;
  int number;
  int row[3];
  bool operator==(Plainer const&) const = default;
};
struct Alias : Plainer {};
struct ConstPlainer {
  int const number;
  std::string text;
};
struct ConstAlias : ConstPlainer {};
struct Nothing : Other {};

static_assert(bitwise<Point>);
static_assert(!serializable<std::pair<Point, void*>>);

TEST(CodecBases, AnEmptyBaseIsNothing) {
  expect_same(Point{{}, {}, 1.5, 2.5});
  EXPECT_EQ(bytes_of(Point{{}, {}, 1, 2}).size(), 16u);
  expect_same(Named{{}, "a", {1, 2}});
  expect_same(std::vector<Named>{{{}, "a", {1}}, {{}, "", {}}});
  auto const arrived = there_and_back(ConstNamed{{}, "c", {4, 5}});
  EXPECT_EQ(arrived.name, "c");
  EXPECT_EQ(arrived.numbers[1], 5);
  there_and_back(Nothing{});
}

TEST(CodecBases, ABaseWithAllMembersIsTheStruct) {
  expect_same(Alias{{"t", 7, {1, 2, 3}}});
  expect_same(std::vector<Alias>{{{"t", 7, {}}}, {{"", 0, {}}}});
  auto const arrived = there_and_back(ConstAlias{{3, "x"}});
  EXPECT_EQ(arrived.number, 3);
  EXPECT_EQ(arrived.text, "x");
}

struct PlainBase {
  int a;
};
struct BothHave : PlainBase {
  int b;
};
struct TwoBases : PlainBase, Plainer {};
struct OverBase : Alias {};
struct UnionIn {
  union {
    int a;
    float b;
  };
};
struct OverUnion : UnionIn {};
class Closed {
 public:
  Closed() = default;
  Closed(int, int) {}

 private:
  int a_ = 0, b_ = 0;
};
struct OverClosed : Closed {};
struct OverArray : std::array<int, 3> {};

static_assert(type_check_t<BothHave>::refusal == Refusal::base_class);
static_assert(type_check_t<TwoBases>::refusal == Refusal::base_class);
static_assert(type_check_t<OverBase>::refusal == Refusal::base_class);
static_assert(type_check_t<OverClosed>::refusal == Refusal::base_class);
static_assert(type_check_t<OverArray>::refusal == Refusal::base_class);
static_assert(type_check_t<OverUnion>::refusal == Refusal::union_type);
static_assert(type_check_t<std::atomic_ref<int>>::refusal == Refusal::atomic);
static_assert(type_check_t<std::atomic<int>>::refusal == Refusal::not_movable);
static_assert(type_check_t<std::list<std::atomic<int*>>>::refusal == Refusal::raw_pointer);
static_assert(type_check_t<std::unique_ptr<int[]>>::refusal == Refusal::array_pointer);

// ---- without a default constructor

class Account {
 public:
  explicit Account(std::string owner) : owner_(std::move(owner)) {}
  std::string const& owner() const { return owner_; }
  int balance = 0;
  auto operator<=>(Account const&) const = default;

 private:
  friend class boost::serialization::access;
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & balance;
  }
  std::string owner_;
};

}  // namespace

namespace boost::serialization {

template <class A>
void save_construct_data(A& archive, Account const* account, unsigned) {
  archive << account->owner();
}
template <class A>
void load_construct_data(A& archive, Account* place, unsigned) {
  std::string owner;
  archive >> owner;
  ::new (place) Account(owner);
}

}  // namespace boost::serialization

namespace {

Account account(std::string owner, int balance) {
  Account made(std::move(owner));
  made.balance = balance;
  return made;
}

struct Bank {
  std::string name;
  Account main;
  std::vector<Account> others;
  bool operator==(Bank const&) const = default;
};

// Hands a value that is there to the archive, as code for Boost does.
class Holder {
 public:
  Account held{"default"};
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & held;
  }
};

TEST(CodecConstructData, ValuesAndElementsAreConstructedByIt) {
  expect_same(account("a", 3));
  expect_same(std::vector{account("a", 3), account("b", 4)});
  expect_same(std::map<std::string, Account>{{"x", account("a", 3)}});
  expect_same(std::set<Account>{account("a", 3), account("b", 1)});
  expect_same(std::optional(account("o", 1)));
  expect_same(std::variant<Account, int>(account("v", 2)));
  expect_same(std::array{account("a", 1), account("b", 2)});
  expect_same(std::pair(account("p", 1), 5));
  expect_same(std::tuple(account("t", 1), std::string("x")));
  expect_same(std::deque{account("d", 6)});
  expect_same(Bank{"bank", account("m", 9), {account("n", 8)}});
  expect_every_cut_refused(std::vector{account("a", 3)});
  auto const pointed = there_and_back(std::make_shared<Account>(account("s", 7)));
  EXPECT_EQ(*pointed, account("s", 7));
}

TEST(CodecConstructData, IsNotAskedForAValueThatIsThere) {
  Holder holder;
  holder.held = account("ignored", 5);
  auto const arrived = there_and_back(holder);
  EXPECT_EQ(arrived.held.balance, 5);
  EXPECT_EQ(arrived.held.owner(), "default");
}

// A pointer to an element finds it where it has been moved to.
struct Ring {
  std::vector<Account> accounts;
  Account* best = nullptr;
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & accounts & best;
  }
};

TEST(CodecConstructData, ElementsKeepTheirAddress) {
  Ring ring{{account("a", 1), account("b", 2), account("c", 3)}, nullptr};
  ring.best = &ring.accounts[1];
  auto const bytes = bytes_of(ring);
  auto const arrived = decode<Ring>(bytes);
  EXPECT_EQ(arrived.best, &arrived.accounts[1]);
  EXPECT_EQ(arrived.best->owner(), "b");
}

}  // namespace
