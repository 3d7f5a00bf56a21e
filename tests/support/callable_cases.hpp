// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The cases of callables, for a pool of workers and for an engine that runs elements in this process.
// Every kind of function and object is called, arguments are converted as in a call, and results
// come back as values. A test that includes this file defines callable_cases::CallableTest before:
// a fixture with a member `pool`, a ProcessPool.

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <numeric>
#include <procpool.hpp>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace callable_cases {

using procpool::fn;

class CallableKinds : public CallableTest {};
class CallableBind : public CallableTest {};
class CallableArguments : public CallableTest {};
class CallableResults : public CallableTest {};

std::vector const inputs{1, 2, 3};

// ---- what is called

inline int twice(int x) { return 2 * x; }
inline int thrice(int x) { return 3 * x; }
inline int negate_quietly(int x) noexcept { return -x; }
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

TEST_F(CallableKinds, FunctionAsTemplateArgument) {
  EXPECT_EQ(pool.map<twice>(inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.map<&twice>(inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.map(fn<twice>, inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.submit<twice>(21).get(), 42);
  EXPECT_EQ(pool.call<twice>(4), 8);
}

TEST_F(CallableKinds, StaticMember) {
  EXPECT_EQ(pool.map<Statics::square>(inputs), (std::vector{1, 4, 9}));
}

TEST_F(CallableKinds, TemplateInstance) {
  EXPECT_EQ(pool.map<plus_one<long>>(inputs), (std::vector<long>{2, 3, 4}));
}

TEST_F(CallableKinds, NoexceptFunction) {
  EXPECT_EQ(pool.map<negate_quietly>(inputs), (std::vector{-1, -2, -3}));
  EXPECT_EQ(pool.call(negate_quietly, 7), -7);
}

TEST_F(CallableKinds, ConstMemberFunction) {
  std::vector const points{Point{1, 2}, Point{3, 4}};
  EXPECT_EQ(pool.map<&Point::sum>(points), (std::vector{3, 7}));
  EXPECT_EQ(pool.map<&Point::scaled>(points, inputs), (std::vector{3, 14}));
  EXPECT_EQ(pool.map<&Point::only_const_lvalue>(points), (std::vector{-1, -1}));
}

TEST_F(CallableKinds, MemberPointerKnownAtRunTime) {
  std::vector const points{Point{1, 2}, Point{3, 4}};
  EXPECT_EQ(pool.map(&Point::sum, points), (std::vector{3, 7}));
  for (int Point::* member : {&Point::x, &Point::y}) {
    EXPECT_EQ(pool.call(member, points[1]), points[1].*member);
  }
}

TEST_F(CallableKinds, DataMember) {
  EXPECT_EQ(pool.map<&Point::y>(std::vector{Point{1, 2}, Point{3, 4}}), (std::vector{2, 4}));
}

TEST_F(CallableKinds, MemberFunctionThatChangesAnRvalue) {
  EXPECT_EQ(pool.call<&Point::bump>(Point{4, 0}), 5);
  EXPECT_EQ(pool.call<&Point::taken>(Point{4, 5}), 20);
}

TEST_F(CallableKinds, CapturelessLambda) {
  EXPECT_EQ(pool.map([](int x) { return x - 1; }, inputs), (std::vector{0, 1, 2}));
  EXPECT_EQ(pool.call([](int a, int b) { return a - b; }, 5, 2), 3);
}

TEST_F(CallableKinds, GenericLambdaIsCalledWithTheTypeGiven) {
  auto const doubled = [](auto const& x) { return x + x; };
  EXPECT_EQ(pool.map(doubled, inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.call(doubled, std::string("ab")), "abab");
  EXPECT_EQ(pool.call(doubled, 0.25), 0.5);
  EXPECT_EQ(pool.map(doubled, std::vector<std::string>{"ab"}), std::vector<std::string>{"abab"});
}

TEST_F(CallableKinds, LambdaAsTemplateArgument) {
  EXPECT_EQ((pool.map<[](int x) { return x * 10; }>(inputs)), (std::vector{10, 20, 30}));
  EXPECT_EQ((pool.call<[](auto x) { return x + x; }>(4)), 8);
}

TEST_F(CallableKinds, FunctionPointerKnownAtRunTime) {
  for (int (*function)(int) : std::array<int (*)(int), 3>{twice, thrice, negate_quietly}) {
    EXPECT_EQ(pool.call(function, 5), function(5));
    EXPECT_EQ(pool.submit(function, 7).get(), function(7));
    EXPECT_EQ(pool.map(function, inputs), (std::vector{function(1), function(2), function(3)}));
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

TEST_F(CallableKinds, FunctorWithoutState) {
  EXPECT_EQ(pool.map(Stateless{}, inputs), (std::vector{6, 7, 8}));
}

TEST_F(CallableKinds, FunctorWithPlainState) {
  EXPECT_EQ(pool.map(Scale{2.5, "m"}, std::vector{2.0, 4.0}),
            (std::vector<std::string>{"5m", "10m"}));
}

TEST_F(CallableKinds, ConstCallOperatorOfABoundObject) {
  EXPECT_EQ(pool.map(procpool::bind_front<&Stateless::operator()>(Stateless{}), inputs),
            (std::vector{6, 7, 8}));
}

TEST_F(CallableKinds, FunctorWithSerialize) {
  EXPECT_EQ(pool.call(Prefix("a"), "b"), "ab");
  EXPECT_EQ(pool.map(Prefix("x"), std::vector<std::string>{"1", "2"}),
            (std::vector<std::string>{"x1", "x2"}));
}

// ---- bound arguments

inline double line(double a, double b, double x) { return a + b * x; }
inline std::string join(std::string front, std::string_view middle, char const* back) {
  return front + "," + std::string(middle) + "," + back;
}
inline std::size_t total(std::span<int const> numbers, std::vector<int> const& more) {
  return static_cast<std::size_t>(std::accumulate(numbers.begin(), numbers.end(), 0) +
                                  std::accumulate(more.begin(), more.end(), 0));
}

TEST_F(CallableBind, InFront) {
  std::vector const xs{1.0, 2.0};
  EXPECT_EQ(pool.map(procpool::bind_front(line, 10, 2), xs), (std::vector{12.0, 14.0}));
  EXPECT_EQ(pool.map(procpool::bind_front<line>(10, 2), xs), (std::vector{12.0, 14.0}));
}

TEST_F(CallableBind, InTheBack) {
  std::vector const xs{1.0, 2.0};
  EXPECT_EQ(pool.map(procpool::bind_back(line, 3, 2), xs), (std::vector{7.0, 8.0}));
  EXPECT_EQ(pool.map(procpool::bind_back<line>(3, 2), xs), (std::vector{7.0, 8.0}));
}

TEST_F(CallableBind, Nested) {
  EXPECT_EQ(pool.call(procpool::bind_front(procpool::bind_back(line, 2.0), 10.0), 3.0), 16.0);
  EXPECT_EQ(pool.call(procpool::bind_back<line>(procpool::bind_front(line, 1, 1)(1), 2.0), 1), 5.0);
}

TEST_F(CallableBind, EverythingOrNothing) {
  EXPECT_EQ(pool.call(procpool::bind_front<line>(1, 2, 3)), 7.0);
  EXPECT_EQ(pool.call(procpool::bind_back<line>(), 1, 2, 3), 7.0);
}

TEST_F(CallableBind, TextsForViewsAndPointers) {
  EXPECT_EQ(pool.call(procpool::bind_front(join, "a", "b"), "c"), "a,b,c");
  EXPECT_EQ(pool.submit(procpool::bind_front(join, "a"), "b", "c").get(), "a,b,c");
  EXPECT_EQ(pool.submit(procpool::bind_back(join, "a"), "b", "c").get(), "b,c,a");
  EXPECT_EQ(pool.call(procpool::bind_back(join, std::string("b"), std::string("c")), "a"), "a,b,c");
  EXPECT_EQ(pool.call(procpool::bind_back<join>(std::string_view("b"), "c"), "a"), "a,b,c");
}

TEST_F(CallableBind, VectorForASpan) {
  EXPECT_EQ(pool.call(procpool::bind_front<total>(std::vector{1, 2}), std::vector{4}), 7u);
}

TEST_F(CallableBind, GenericLambdaGetsWhatWasGiven) {
  auto const glued = [](auto a, auto b) { return a + b; };
  EXPECT_EQ(pool.call(procpool::bind_front(glued, std::string("a")), std::string("b")), "ab");
  EXPECT_EQ(pool.call(procpool::bind_front(
                          [](auto text, int n) { return std::string(text, 2) + char(n); }, "xyz"),
                      'w'),
            "xyw");
}

TEST_F(CallableBind, TheObjectOfAMemberFunction) {
  EXPECT_EQ(pool.map(procpool::bind_front<&Point::scaled>(Point{1, 1}), inputs),
            (std::vector{2, 4, 6}));
}

TEST_F(CallableBind, OfAFunctorWithState) {
  EXPECT_EQ(pool.call(procpool::bind_front(Prefix("a"), "b")), "ab");
}

// ---- arguments

inline std::size_t length(std::string const& text) { return text.size(); }
inline std::string first_word(std::string_view text) {
  return std::string(text.substr(0, text.find(' ')));
}
inline std::string c_text(char const* text) { return text; }
inline int sum_of(std::span<int const> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0);
}
inline int negated_sum(std::span<int> numbers) {
  for (int& number : numbers) number = -number;
  return sum_of(numbers);
}
inline int three(std::span<int const, 3> numbers) {
  return numbers[0] * 100 + numbers[1] * 10 + numbers[2];
}
inline std::string consumed(std::string&& text) {
  std::string mine = std::move(text);
  return mine + "!";
}
inline std::unique_ptr<int> one_more(std::unique_ptr<int> number) {
  return std::make_unique<int>(*number + 1);
}

TEST_F(CallableArguments, AreConvertedAsInACall) {
  EXPECT_EQ(pool.call<line>(1, 2u, 'a'), 1 + 2.0 * 'a');
  EXPECT_EQ(pool.map([](double x) { return x / 2; }, inputs), (std::vector{0.5, 1.0, 1.5}));
  EXPECT_EQ(pool.call<twice>(3.9), 6);
  EXPECT_EQ(pool.call<twice>(short{3}), 6);
}

TEST_F(CallableArguments, LiteralsBecomeStrings) {
  EXPECT_EQ(pool.call<length>("four"), 4u);
  EXPECT_EQ(pool.map<length>(std::array{"a", "bb"}), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(pool.call<length>(std::string_view("four")), 4u);
}

TEST_F(CallableArguments, ForAStringView) {
  EXPECT_EQ(pool.call<first_word>("one two"), "one");
  EXPECT_EQ(pool.call<first_word>(std::string("one two")), "one");
  EXPECT_EQ(pool.call<first_word>(std::string_view("one two")), "one");
}

TEST_F(CallableArguments, ForACharPointer) {
  EXPECT_EQ(pool.call<c_text>("text"), "text");
  EXPECT_EQ(pool.call<c_text>(std::string("text")), "text");
}

TEST_F(CallableArguments, ForASpan) {
  std::vector<int> const numbers{1, 2, 3};
  EXPECT_EQ(pool.call<sum_of>(numbers), 6);
  EXPECT_EQ(pool.call<sum_of>(std::span(numbers).first(2)), 3);
  EXPECT_EQ(pool.call<sum_of>(std::array{5, 6}), 11);
  int const array[] = {7, 8};
  EXPECT_EQ(pool.call<sum_of>(array), 15);
  EXPECT_EQ(pool.call<negated_sum>(numbers), -6);
}

TEST_F(CallableArguments, ASpanOfFixedExtentIsNeverReadPastItsEnd) {
  EXPECT_EQ(pool.call<three>(std::array{1, 2, 3}), 123);
  EXPECT_THROW(pool.call<three>(std::vector{1, 2}), std::length_error);
}

TEST_F(CallableArguments, ForAnRvalueReference) {
  EXPECT_EQ(pool.call<consumed>("text"), "text!");
  std::string const kept = "text";
  EXPECT_EQ(pool.call<consumed>(kept), "text!");
  EXPECT_EQ(kept, "text");
}

TEST_F(CallableArguments, MoveOnlyThereAndBack) {
  EXPECT_EQ(*pool.call<one_more>(std::make_unique<int>(1)), 2);
}

TEST_F(CallableArguments, MoveOnlyOnesStayWithTheirOwner) {
  std::vector<std::unique_ptr<int>> numbers;
  numbers.push_back(std::make_unique<int>(4));
  EXPECT_EQ(*pool.map<one_more>(numbers).front(), 5);
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
inline std::string name_of(Shape const& shape) { return shape.name(); }

TEST_F(CallableArguments, ADerivedObjectIsNotCutDown) {
  EXPECT_EQ(pool.call<name_of>(Square{}), "square");
  EXPECT_EQ(pool.map<&Shape::name>(std::vector<Square>(1)), std::vector<std::string>{"square"});
  EXPECT_EQ(pool.call(procpool::bind_front<name_of>(Square{})), "square");
}

TEST_F(CallableKinds, VirtualMemberPointerKnownAtRunTime) {
  EXPECT_EQ(pool.call(&Shape::name, Square{}), "square");
  EXPECT_EQ(pool.call(&Shape::name, Shape{}), "shape");
}

TEST_F(CallableArguments, OfATupleType) {
  auto const swapped = [](std::tuple<int, std::string> pair) {
    return std::tuple(std::get<1>(pair), std::get<0>(pair));
  };
  EXPECT_EQ(pool.call(swapped, std::tuple(1, "a")), std::tuple(std::string("a"), 1));
}

// ---- results

inline std::string_view tail(std::string_view text) { return text.substr(1); }
inline std::string const& longer(std::string const& a, std::string const& b) {
  return a.size() < b.size() ? b : a;
}
struct Fixed {  // not default constructible
  int const value;
};

TEST_F(CallableResults, AViewArrivesAsAString) {
  auto const results = pool.map<tail>(std::vector<std::string>{"abc", "de"});
  static_assert(std::is_same_v<decltype(results), std::vector<std::string> const>);
  EXPECT_EQ(results, (std::vector<std::string>{"bc", "e"}));
}

TEST_F(CallableResults, AReferenceArrivesAsACopy) {
  static_assert(std::is_same_v<decltype(pool.call<longer>("a", "b")), std::string>);
  EXPECT_EQ(pool.call<longer>("a", "bcd"), "bcd");
}

// The view that is returned refers to the argument in the worker, which is still there.
TEST_F(CallableResults, AViewOfAnArgumentReturned) {
  std::string const text(100, 'x');
  EXPECT_EQ(pool.call(std::identity{}, std::string_view(text)), text);
}

TEST_F(CallableResults, ASpanArrivesAsAVector) {
  EXPECT_EQ(pool.call([](std::span<int const> all) { return all.subspan(1); }, inputs),
            (std::vector{2, 3}));
}

TEST_F(CallableResults, NotDefaultConstructible) {
  EXPECT_EQ(pool.map([](int x) { return Fixed{x}; }, inputs).back().value, 3);
}

}  // namespace callable_cases
