// Callables: every kind of function and object reaches the worker, arguments are converted on the
// way as in a call, results come back as values, and nothing is copied that need not be.

#include <procpool/callable.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "support/fake_engine.hpp"

namespace {

using api_test::FakePool;
using procpool::fn;

std::vector const inputs{1, 2, 3};

// ---- what is called

int twice(int x) { return 2 * x; }
int thrice(int x) { return 3 * x; }
int negate_quietly(int x) noexcept { return -x; }
template <class T>
T plus_one(T x) {
  return x + T(1);
}
struct Statics {
  static int square(int x) { return x * x; }
};
struct Point {
  int x = 0;
  int y = 0;
  int sum() const { return x + y; }
  int scaled(int factor) const noexcept { return factor * (x + y); }
  int only_const_lvalue() const& { return x - y; }
  int bump() { return ++x; }
  int taken() && { return x * y; }
};

TEST(Callable, FunctionAsTemplateArgument) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<twice>(inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(fake.pool.map<&twice>(inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(fake.pool.map(fn<twice>, inputs), (std::vector{2, 4, 6}));
}

TEST(Callable, StaticMember) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<Statics::square>(inputs), (std::vector{1, 4, 9}));
}

TEST(Callable, TemplateInstance) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<plus_one<long>>(inputs), (std::vector<long>{2, 3, 4}));
}

TEST(Callable, NoexceptFunction) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<negate_quietly>(inputs), (std::vector{-1, -2, -3}));
  EXPECT_EQ(fake.pool.call(negate_quietly, 7), -7);
}

TEST(Callable, ConstMemberFunction) {
  FakePool fake;
  std::vector const points{Point{1, 2}, Point{3, 4}};
  EXPECT_EQ(fake.pool.map<&Point::sum>(points), (std::vector{3, 7}));
  EXPECT_EQ(fake.pool.map<&Point::scaled>(points, inputs), (std::vector{3, 14}));
  EXPECT_EQ(fake.pool.map<&Point::only_const_lvalue>(points), (std::vector{-1, -1}));
}

TEST(Callable, MemberPointerKnownAtRunTime) {
  FakePool fake;
  std::vector const points{Point{1, 2}, Point{3, 4}};
  EXPECT_EQ(fake.pool.map(&Point::sum, points), (std::vector{3, 7}));
  for (int Point::* member : {&Point::x, &Point::y}) {
    EXPECT_EQ(fake.pool.call(member, points[1]), points[1].*member);
  }
}

TEST(Callable, DataMember) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map<&Point::y>(std::vector{Point{1, 2}, Point{3, 4}}), (std::vector{2, 4}));
}

TEST(Callable, MemberFunctionThatChangesAnRvalue) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<&Point::bump>(Point{4, 0}), 5);
  EXPECT_EQ(fake.pool.call<&Point::taken>(Point{4, 5}), 20);
}

TEST(Callable, CapturelessLambda) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map([](int x) { return x - 1; }, inputs), (std::vector{0, 1, 2}));
}

TEST(Callable, GenericLambdaIsCalledWithTheTypeGiven) {
  FakePool fake;
  auto const doubled = [](auto const& x) { return x + x; };
  EXPECT_EQ(fake.pool.map(doubled, inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(fake.pool.call(doubled, std::string("ab")), "abab");
  EXPECT_EQ(fake.pool.call(doubled, 0.25), 0.5);
}

TEST(Callable, LambdaAsTemplateArgument) {
  FakePool fake;
  EXPECT_EQ((fake.pool.map<[](int x) { return x * 10; }>(inputs)), (std::vector{10, 20, 30}));
  EXPECT_EQ((fake.pool.call<[](auto x) { return x + x; }>(4)), 8);
}

TEST(Callable, FunctionPointerKnownAtRunTime) {
  FakePool fake;
  for (int (*function)(int) : std::array<int (*)(int), 3>{twice, thrice, negate_quietly}) {
    EXPECT_EQ(fake.pool.call(function, 5), function(5));
  }
}

struct Stateless {
  int operator()(int x) const { return x + 5; }
};
struct Scale {
  double factor = 0;
  std::string unit;
  std::string operator()(double x) const { return std::to_string(int(factor * x)) + unit; }
};
class Prefix {
 public:
  Prefix() = default;
  explicit Prefix(std::string text) : text_(std::move(text)) {}
  std::string operator()(std::string const& x) const { return text_ + x; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & text_;
  }

 private:
  std::string text_;
};

TEST(Callable, FunctorWithoutState) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map(Stateless{}, inputs), (std::vector{6, 7, 8}));
}

TEST(Callable, FunctorWithPlainState) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map(Scale{2.5, "m"}, std::vector{2.0, 4.0}),
            (std::vector<std::string>{"5m", "10m"}));
}

TEST(Callable, FunctorWithSerialize) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(Prefix("a"), "b"), "ab");
}

// ---- bound arguments

double line(double a, double b, double x) { return a + b * x; }
std::string join(std::string front, std::string_view middle, char const* back) {
  return front + "," + std::string(middle) + "," + back;
}
std::size_t total(std::span<int const> numbers, std::vector<int> const& more) {
  return static_cast<std::size_t>(std::accumulate(numbers.begin(), numbers.end(), 0) +
                                  std::accumulate(more.begin(), more.end(), 0));
}

TEST(Bind, InFront) {
  FakePool fake;
  std::vector const xs{1.0, 2.0};
  EXPECT_EQ(fake.pool.map(procpool::bind_front(line, 10, 2), xs), (std::vector{12.0, 14.0}));
  EXPECT_EQ(fake.pool.map(procpool::bind_front<line>(10, 2), xs), (std::vector{12.0, 14.0}));
}

TEST(Bind, InTheBack) {
  FakePool fake;
  std::vector const xs{1.0, 2.0};
  EXPECT_EQ(fake.pool.map(procpool::bind_back(line, 3, 2), xs), (std::vector{7.0, 8.0}));
  EXPECT_EQ(fake.pool.map(procpool::bind_back<line>(3, 2), xs), (std::vector{7.0, 8.0}));
}

TEST(Bind, Nested) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(procpool::bind_front(procpool::bind_back(line, 2.0), 10.0), 3.0), 16.0);
  EXPECT_EQ(fake.pool.call(procpool::bind_back<line>(procpool::bind_front(line, 1, 1)(1), 2.0), 1),
            5.0);
}

TEST(Bind, EverythingOrNothing) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(procpool::bind_front<line>(1, 2, 3)), 7.0);
  EXPECT_EQ(fake.pool.call(procpool::bind_back<line>(), 1, 2, 3), 7.0);
}

TEST(Bind, TextsForViewsAndPointers) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(procpool::bind_front(join, "a", "b"), "c"), "a,b,c");
  EXPECT_EQ(fake.pool.call(procpool::bind_back(join, std::string("b"), std::string("c")), "a"),
            "a,b,c");
  EXPECT_EQ(fake.pool.call(procpool::bind_back<join>(std::string_view("b"), "c"), "a"), "a,b,c");
}

TEST(Bind, VectorForASpan) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(procpool::bind_front<total>(std::vector{1, 2}), std::vector{4}), 7u);
}

TEST(Bind, GenericLambdaGetsWhatWasGiven) {
  FakePool fake;
  auto const glued = [](auto a, auto b) { return a + b; };
  EXPECT_EQ(fake.pool.call(procpool::bind_front(glued, std::string("a")), std::string("b")), "ab");
  EXPECT_EQ(
      fake.pool.call(procpool::bind_front(
                         [](auto text, int n) { return std::string(text, 2) + char(n); }, "xyz"),
                     'w'),
      "xyw");
}

TEST(Bind, TheObjectOfAMemberFunction) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map(procpool::bind_front<&Point::scaled>(Point{1, 1}), inputs),
            (std::vector{2, 4, 6}));
}

TEST(Bind, OfAFunctorWithState) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(procpool::bind_front(Prefix("a"), "b")), "ab");
}

TEST(Bind, CanBeCalledHereToo) {
  EXPECT_EQ(procpool::bind_front(join, "a", "b")("c"), "a,b,c");
  EXPECT_EQ(procpool::bind_back(line, 3, 2)(1), 7.0);
}

// ---- arguments

std::size_t length(std::string const& text) { return text.size(); }
std::string first_word(std::string_view text) {
  return std::string(text.substr(0, text.find(' ')));
}
std::string c_text(char const* text) { return text; }
int sum_of(std::span<int const> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0);
}
int negated_sum(std::span<int> numbers) {
  for (int& number : numbers) number = -number;
  return sum_of(numbers);
}
int three(std::span<int const, 3> numbers) {
  return numbers[0] * 100 + numbers[1] * 10 + numbers[2];
}
std::string consumed(std::string&& text) {
  std::string mine = std::move(text);
  return mine + "!";
}
std::unique_ptr<int> one_more(std::unique_ptr<int> number) {
  return std::make_unique<int>(*number + 1);
}

TEST(Arguments, AreConvertedAsInACall) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<line>(1, 2u, 'a'), 1 + 2.0 * 'a');
  EXPECT_EQ(fake.pool.map([](double x) { return x / 2; }, inputs), (std::vector{0.5, 1.0, 1.5}));
  EXPECT_EQ(fake.pool.call<twice>(3.9), 6);
}

TEST(Arguments, LiteralsBecomeStrings) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<length>("four"), 4u);
  EXPECT_EQ(fake.pool.map<length>(std::array{"a", "bb"}), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(fake.pool.call<length>(std::string_view("four")), 4u);
}

TEST(Arguments, ForAStringView) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<first_word>("one two"), "one");
  EXPECT_EQ(fake.pool.call<first_word>(std::string("one two")), "one");
  EXPECT_EQ(fake.pool.call<first_word>(std::string_view("one two")), "one");
}

TEST(Arguments, ForACharPointer) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<c_text>("text"), "text");
  EXPECT_EQ(fake.pool.call<c_text>(std::string("text")), "text");
}

TEST(Arguments, ANullTextIsRefusedHere) {
  FakePool fake;
  EXPECT_THROW(fake.pool.call<c_text>(static_cast<char const*>(nullptr)), std::logic_error);
  EXPECT_TRUE(fake.engine.appended.empty());
}

TEST(Arguments, ForASpan) {
  FakePool fake;
  std::vector<int> const numbers{1, 2, 3};
  EXPECT_EQ(fake.pool.call<sum_of>(numbers), 6);
  EXPECT_EQ(fake.pool.call<sum_of>(std::span(numbers).first(2)), 3);
  EXPECT_EQ(fake.pool.call<sum_of>(std::array{5, 6}), 11);
  int const array[] = {7, 8};
  EXPECT_EQ(fake.pool.call<sum_of>(array), 15);
  EXPECT_EQ(fake.pool.call<negated_sum>(numbers), -6);
}

TEST(Arguments, ASpanOfFixedExtentIsNeverReadPastItsEnd) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<three>(std::array{1, 2, 3}), 123);
  EXPECT_THROW(fake.pool.call<three>(std::vector{1, 2}), std::length_error);
}

TEST(Arguments, ForAnRvalueReference) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<consumed>("text"), "text!");
  std::string const kept = "text";
  EXPECT_EQ(fake.pool.call<consumed>(kept), "text!");
  EXPECT_EQ(kept, "text");
}

TEST(Arguments, MoveOnlyThereAndBack) {
  FakePool fake;
  EXPECT_EQ(*fake.pool.call<one_more>(std::make_unique<int>(1)), 2);
}

TEST(Arguments, MoveOnlyOnesStayWithTheirOwner) {
  FakePool fake;
  std::vector<std::unique_ptr<int>> numbers;
  numbers.push_back(std::make_unique<int>(4));
  EXPECT_EQ(*fake.pool.map<one_more>(numbers).front(), 5);
  EXPECT_EQ(*numbers.front(), 4);
}

// An object given for a reference to its base keeps what it overrides.
struct Shape {
  Shape() = default;
  virtual ~Shape() = default;
  Shape(Shape const&) = default;
  Shape& operator=(Shape const&) = default;
  virtual std::string name() const { return "shape"; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
struct Square : Shape {
  std::string name() const override { return "square"; }
};
std::string name_of(Shape const& shape) { return shape.name(); }

TEST(Arguments, ADerivedObjectIsNotCutDown) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call<name_of>(Square{}), "square");
  EXPECT_EQ(fake.pool.map<&Shape::name>(std::vector<Square>(1)),
            std::vector<std::string>{"square"});
  EXPECT_EQ(fake.pool.call(procpool::bind_front<name_of>(Square{})), "square");
}

TEST(Callable, VirtualMemberPointerKnownAtRunTime) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call(&Shape::name, Square{}), "square");
  EXPECT_EQ(fake.pool.call(&Shape::name, Shape{}), "shape");
}

TEST(Arguments, OfATupleType) {
  FakePool fake;
  auto const swapped = [](std::tuple<int, std::string> pair) {
    return std::tuple(std::get<1>(pair), std::get<0>(pair));
  };
  EXPECT_EQ(fake.pool.call(swapped, std::tuple(1, "a")), std::tuple(std::string("a"), 1));
}

// ---- results

std::string_view tail(std::string_view text) { return text.substr(1); }
std::string const& longer(std::string const& a, std::string const& b) {
  return a.size() < b.size() ? b : a;
}
struct Fixed {  // not default constructible
  int const value;
};

TEST(Results, AViewArrivesAsAString) {
  FakePool fake;
  auto const results = fake.pool.map<tail>(std::vector<std::string>{"abc", "de"});
  static_assert(std::is_same_v<decltype(results), std::vector<std::string> const>);
  EXPECT_EQ(results, (std::vector<std::string>{"bc", "e"}));
}

TEST(Results, AReferenceArrivesAsACopy) {
  FakePool fake;
  static_assert(std::is_same_v<decltype(fake.pool.call<longer>("a", "b")), std::string>);
  EXPECT_EQ(fake.pool.call<longer>("a", "bcd"), "bcd");
}

// The view that is returned refers to the argument in the worker, which is still there.
TEST(Results, AViewOfAnArgumentReturned) {
  FakePool fake;
  std::string const text(100, 'x');
  EXPECT_EQ(fake.pool.call(std::identity{}, std::string_view(text)), text);
}

TEST(Results, ASpanArrivesAsAVector) {
  FakePool fake;
  EXPECT_EQ(fake.pool.call([](std::span<int const> all) { return all.subspan(1); }, inputs),
            (std::vector{2, 3}));
}

TEST(Results, Nothing) {
  FakePool fake;
  static_assert(std::is_void_v<decltype(fake.pool.call([](int) {}, 1))>);
  fake.pool.call([](int) {}, 1);
  EXPECT_EQ(fake.engine.appended.size(), 1u);
}

TEST(Results, NotDefaultConstructible) {
  FakePool fake;
  EXPECT_EQ(fake.pool.map([](int x) { return Fixed{x}; }, inputs).back().value, 3);
}

// ---- copies

struct Counted {
  Counted() = default;
  explicit Counted(int number) : value(number) {}
  Counted(Counted const& other) : value(other.value) { ++copies; }
  Counted(Counted&& other) noexcept : value(other.value) { ++moves; }
  Counted& operator=(Counted const&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() = default;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
  }

  int value = 0;
  static inline int copies = 0;
  static inline int moves = 0;
};

class Copies : public testing::Test {
 protected:
  void SetUp() override { Counted::copies = Counted::moves = 0; }
  FakePool fake;
};

TEST_F(Copies, NoneOfAnArgument) {
  Counted const counted(4);
  auto const value = [](Counted const& c) { return c.value; };
  EXPECT_EQ(fake.pool.call(value, counted), 4);
  EXPECT_EQ(fake.pool.call(value, Counted(5)), 5);
  EXPECT_EQ(fake.pool.map(value, std::vector<Counted>(3)), (std::vector{0, 0, 0}));
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, ParametersByValueAreMovedInto) {
  EXPECT_EQ(fake.pool.call([](Counted c) { return c.value; }, Counted(4)), 4);
  EXPECT_EQ(fake.pool.call([](Counted&& c) { return c.value; }, Counted(4)), 4);
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, NoneOfAResult) {
  auto const make = [](int x) { return Counted(x); };
  EXPECT_EQ(fake.pool.call(make, 4).value, 4);
  EXPECT_EQ(fake.pool.map(make, inputs).size(), 3u);
  EXPECT_EQ(fake.pool.try_map(make, inputs).front().value().value, 1);
  EXPECT_EQ(fake.pool.call([](Counted const& c) -> Counted const& { return c; }, Counted(7)).value,
            7);
  EXPECT_EQ(Counted::copies, 0);
}

TEST_F(Copies, NoneOfACallableOrItsBoundArguments) {
  Counted counted(3);
  auto bound =
      procpool::bind_front([](Counted const& a, int b) { return a.value + b; }, std::move(counted));
  EXPECT_EQ(fake.pool.map(std::move(bound), inputs), (std::vector{4, 5, 6}));
  EXPECT_EQ(Counted::copies, 0);
}

}  // namespace
