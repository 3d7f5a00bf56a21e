// Everything that can be called in a worker.

#include <gtest/gtest.h>

#include <functional>
#include <procpool.hpp>
#include <string>
#include <vector>

namespace {

int twice(int x) { return 2 * x; }
int thrice(int x) { return 3 * x; }
double power_sum(double a, double b, double x) { return a + b * x; }
std::string join(std::string front, std::string middle, std::string back) {
  return front + middle + back;
}

struct Scale {
  int factor = 1;
  int operator()(int x) const { return factor * x; }
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

struct Nothing {
  int operator()(int x) const { return x + 5; }
};

std::vector const inputs{1, 2, 3};

}  // namespace

// A value that knows how many of its kind the process has.
struct Counted {
  static inline int living = 0;
  Counted() { ++living; }
  Counted(Counted const&) { ++living; }
  Counted& operator=(Counted const&) = default;
  ~Counted() { --living; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
int how_many(Counted const&, int) { return Counted::living; }

// Of 64 large ones a worker would be full.
TEST(Callable, WhatIsBoundIsLetGoWhenItsCallIsOver) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 100; ++i) {
    EXPECT_LE(pool.call(procpool::bind_front(how_many, Counted()), i), 2);
  }
  // While calls are under way, theirs stay.
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(pool.submit(procpool::bind_front(how_many, Counted()), i));
  }
  for (auto& future : futures) EXPECT_LE(future.get(), 12);
}

TEST(Callable, FunctionAsTemplateArgument) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map<twice>(inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.submit<twice>(21).get(), 42);
  EXPECT_EQ(pool.call<twice>(4), 8);
}

TEST(Callable, FunctionPointerChosenAtRunTime) {
  procpool::ProcessPool pool{2};
  for (int (*function)(int) : {twice, thrice}) {
    int const factor = function(1);
    EXPECT_EQ(pool.map(function, inputs), (std::vector{factor, 2 * factor, 3 * factor}));
    EXPECT_EQ(pool.submit(function, 7).get(), 7 * factor);
  }
}

TEST(Callable, LambdaWithoutCaptures) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map([](int x) { return x - 1; }, inputs), (std::vector{0, 1, 2}));
  EXPECT_EQ(pool.call([](int a, int b) { return a - b; }, 5, 2), 3);
}

TEST(Callable, GenericLambda) {
  procpool::ProcessPool pool{2};
  auto const doubled = [](auto x) { return x + x; };
  EXPECT_EQ(pool.map(doubled, inputs), (std::vector{2, 4, 6}));
  EXPECT_EQ(pool.map(doubled, std::vector<std::string>{"ab"}), std::vector<std::string>{"abab"});
}

TEST(Callable, FunctorWithState) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map(Scale{10}, inputs), (std::vector{10, 20, 30}));
  EXPECT_EQ(pool.map(Prefix("x"), std::vector<std::string>{"1", "2"}),
            (std::vector<std::string>{"x1", "x2"}));
  EXPECT_EQ(pool.map(Nothing{}, inputs), (std::vector{6, 7, 8}));
}

// States of one type do not mix, however they alternate.
TEST(Callable, ManyStatesOfOneType) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int factor = 0; factor < 300; ++factor) futures.push_back(pool.submit(Scale{factor}, 7));
  for (int factor = 0; factor < 300; ++factor) {
    EXPECT_EQ(futures[static_cast<std::size_t>(factor)].get(), 7 * factor);
  }
}

// A state larger than what travels in one piece with the task.
TEST(Callable, LargeState) {
  procpool::ProcessPool pool{1};
  std::string const text(300'000, 't');
  EXPECT_EQ(pool.map(Prefix(text), std::vector<std::string>{"1", "2"}),
            (std::vector<std::string>{text + "1", text + "2"}));
}

TEST(Callable, BoundInFrontAndInTheBack) {
  procpool::ProcessPool pool{2};
  std::vector const xs{1.0, 2.0};
  EXPECT_EQ(pool.map(procpool::bind_front(power_sum, 10.0, 2.0), xs), (std::vector{12.0, 14.0}));
  EXPECT_EQ(pool.map(procpool::bind_back(power_sum, 3.0, 2.0), xs), (std::vector{7.0, 8.0}));
  EXPECT_EQ(pool.submit(procpool::bind_front(join, "a"), "b", "c").get(), "abc");
  EXPECT_EQ(pool.submit(procpool::bind_back(join, "a"), "b", "c").get(), "bca");
}

TEST(Callable, ConstMemberFunction) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map(procpool::bind_front<&Scale::operator()>(Scale{3}), inputs),
            (std::vector{3, 6, 9}));
}

TEST(Callable, MoreFunctionsThanAWorkerRemembers) {
  procpool::ProcessPool pool{1};
  int wrong = 0;
  auto const run = [&]<int... N>(std::integer_sequence<int, N...>) {
    wrong += ((pool.call([](int x) { return x + N; }, 1) != 1 + N) + ...);
  };
  run(std::make_integer_sequence<int, 40>());
  run(std::make_integer_sequence<int, 40>());
  EXPECT_EQ(wrong, 0);
}

// Arguments are converted to what the function takes before they travel.
TEST(Callable, ArgumentsAreConverted) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<join>("a", std::string_view("b"), 'c' + std::string()), "abc");
  EXPECT_EQ(pool.call<twice>(short{3}), 6);
  EXPECT_EQ(pool.call([](double x) { return x / 2; }, 1), 0.5);
}

TEST(Callable, ByValueLambdaTravelsWithItsCaptures) {
  procpool::ProcessPool pool{2};
  struct Point {
    double x;
    double y;
  };
  int const factor = static_cast<int>(inputs.size());
  Point const origin{1.0, 2.0};
  auto const call =
      procpool::by_value([factor, origin](int x) { return factor * x + origin.x + origin.y; });
  EXPECT_EQ(pool.map(call, inputs), (std::vector{6.0, 9.0, 12.0}));
  EXPECT_EQ(pool.submit(call, 10).get(), 33.0);
  auto generic = procpool::by_value([factor](auto x) { return x * factor; });
  EXPECT_EQ(pool.call(generic, 2.5), 7.5);
  EXPECT_EQ(pool.call(procpool::bind_front(generic, 5)), 15);
}
