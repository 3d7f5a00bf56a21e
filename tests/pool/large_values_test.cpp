// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Values that are large themselves: a plain struct that a stack has room for a few of. Nothing of
// the pool's lays them on a stack where the language lets them be made where they stay: how much
// stack each way takes is measured, on a stack that was painted before.

#include <procpool.hpp>

#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/mman.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"

namespace {

using procpool::ProcessPool;

constexpr std::size_t large = 400'000;

// Nothing but bytes.
struct Plain {
  std::array<char, large> bytes;
  int number;
};
// With padding, and a bool, of which not every pattern is a value.
struct Mixed {
  bool yes;
  std::array<char, large> bytes;
  int number;
};
// Made of its parts.
struct Fixed {
  int const number = 0;
  std::array<char, large> bytes{};
};
// With a part elsewhere.
struct Holder {
  std::string text;
  std::array<char, large> bytes;
  int number;
};
// With code of its own.
struct Own {
  std::array<char, large> bytes{};
  int number = 0;
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & bytes & number;
  }
};

template <class T>
T made(int number) {
  T value{};
  value.number = number;
  return value;
}
template <>
Fixed made<Fixed>(int number) {
  return Fixed{number};
}
template <class T>
T made_late(int number) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return made<T>(number);
}
template <class T>
int number_of(T const& value) {
  return value.number;
}
template <class T>
int number_of_value(T value) {  // NOLINT(performance-unnecessary-value-param): what is looked at
  return value.number;
}
template <class T>
T same_value(T const& value) {
  return value;
}
template <class T>
T added(T const& one, T const& other) {
  T value = one;
  value.number += other.number;
  return value;
}
template <class T>
int sum_of(std::vector<T> const& values) {
  int sum = 0;
  for (T const& value : values) sum += value.number;
  return sum;
}
template <class T>
int sum_with(std::vector<int> const& numbers, T const& rest) {
  int sum = rest.number;
  for (int const number : numbers) sum += number;
  return sum;
}
template <class T>
std::vector<T> many_of(std::vector<int> const& numbers) {
  std::vector<T> all;
  for (int const number : numbers) all.push_back(made<T>(number));
  return all;
}
template <class T>
T one_of(std::vector<int> const& numbers) {
  return made<T>(numbers.front());
}

// ---- how much stack

// Runs it on a thread of its own; so many bytes of that thread's stack were touched.
std::size_t stack_of(std::function<void()> const& body, std::size_t size = std::size_t{8} << 20) {
  constexpr int paint = 0xa5;
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  std::memset(memory, paint, size);
  ::pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstack(&attributes, memory, size);
  ::pthread_t thread{};
  auto const run = [](void* argument) -> void* {
    try {
      (*static_cast<std::function<void()> const*>(argument))();
    } catch (std::exception const& error) {
      ADD_FAILURE() << error.what();
    }
    return nullptr;
  };
  EXPECT_EQ(::pthread_create(&thread, &attributes, run, const_cast<std::function<void()>*>(&body)),
            0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
  auto const* const begin = static_cast<unsigned char const*>(memory);
  std::size_t untouched = 0;
  while (untouched < size && begin[untouched] == paint) ++untouched;
  ::munmap(memory, size);
  return size - untouched;
}

// Copies that a way takes besides. (A variable that is made of what a call returns would cost two
// copies, were T trivially copyable and g++ the compiler.)
constexpr std::size_t besides = std::size_t{64} << 10;

// The parameter of a function that takes a value. (Clang without optimization lays another one
// beside it.)
constexpr unsigned own = 2;

void expect_copies(char const* way, unsigned most, std::function<void()> const& body) {
  std::size_t const used = stack_of(body);
  auto const copies = static_cast<double>(used) / static_cast<double>(large);
  std::printf("  %-40s %5.2f\n", way, copies);
  std::fflush(stdout);
  if (support::sanitized) return;  // which lays more on it
  EXPECT_LE(used, most * (large + 64) + besides) << way << ": " << copies;
}

template <class T>
class LargeValues : public testing::Test {
 protected:
  static ProcessPool& pool() {
    static ProcessPool one{{.workers = 2}};
    return one;
  }
};
using Types = testing::Types<Plain, Mixed, Fixed, Holder, Own>;
TYPED_TEST_SUITE(LargeValues, Types);

// The caller holds one copy.
TYPED_TEST(LargeValues, AsResults) {
  using T = TypeParam;
  ProcessPool& pool = this->pool();
  expect_copies("call", 1, [&] { EXPECT_EQ(number_of<T>(pool.call<made<T>>(7)), 7); });
  expect_copies("submit, get", 1,
                [&] { EXPECT_EQ(number_of<T>(pool.submit<made<T>>(7).get()), 7); });
  expect_copies("map", 0, [&] {
    auto const values = pool.map<made<T>>(std::vector{1, 2, 3});
    EXPECT_EQ(sum_of(values), 6);
  });
  expect_copies("map_async", 0, [&] {
    auto const values = pool.map_async<made<T>>(std::vector{1, 2, 3}).get();
    EXPECT_EQ(sum_of(values), 6);
  });
  expect_copies("outcomes().map", 0, [&] {
    auto const outcomes = pool.outcomes().map<made<T>>(std::vector{1, 2, 3});
    EXPECT_EQ(outcomes.at(2).value().number, 3);
  });
  expect_copies("outcomes().map, value()", 1, [&] {
    auto outcomes = pool.outcomes().map<made<T>>(std::vector{1, 2, 3});
    EXPECT_EQ(number_of<T>(std::move(outcomes.at(2)).value()), 3);
  });
  expect_copies("imap", 0, [&] {
    int sum = 0;
    for (T const& value : pool.imap<made<T>>(std::vector{1, 2, 3})) sum += value.number;
    EXPECT_EQ(sum, 6);
  });
  expect_copies("imap_unordered", 0, [&] {
    int sum = 0;
    for (auto const& [index, value] : pool.imap_unordered<made<T>>(std::vector{1, 2, 3})) {
      sum += value.number;
    }
    EXPECT_EQ(sum, 6);
  });
  expect_copies("parallelize, vectors", 0,
                [&] { EXPECT_EQ(sum_of(pool.parallelize<many_of<T>>(std::vector{1, 2, 3})), 6); });
  expect_copies("parallelize, single values", 0,
                [&] { EXPECT_EQ(sum_of(pool.parallelize<one_of<T>>(std::vector{1, 2})), 3); });
  expect_copies("parallelize_timed", 0, [&] {
    auto const timed = pool.parallelize_timed<one_of<T>>(std::vector{1, 2});
    EXPECT_EQ(sum_of(timed.values), 3);
  });
}

TYPED_TEST(LargeValues, AsArguments) {
  using T = TypeParam;
  ProcessPool& pool = this->pool();
  auto const values = std::make_unique<std::vector<T>>();
  values->reserve(3);
  for (int i = 1; i <= 3; ++i) values->push_back(made<T>(i));
  T const& one = values->front();
  expect_copies("call, const&", 0, [&] { EXPECT_EQ(pool.call<number_of<T>>(one), 1); });
  expect_copies("call, a value", 0, [&] { EXPECT_EQ(pool.call<number_of_value<T>>(one), 1); });
  expect_copies("submit", 0, [&] { EXPECT_EQ(pool.submit<number_of<T>>(one).get(), 1); });
  expect_copies("map", 0,
                [&] { EXPECT_EQ(pool.map<number_of<T>>(*values), (std::vector{1, 2, 3})); });
  expect_copies("map, zipped", 0, [&] {
    EXPECT_EQ(pool.map<sum_with<T>>(std::vector(3, std::vector{1}), *values),
              (std::vector{2, 3, 4}));
  });
  expect_copies("imap", 0, [&] {
    int sum = 0;
    for (int const number : pool.imap<number_of<T>>(*values)) sum += number;
    EXPECT_EQ(sum, 6);
  });
  expect_copies("parallelize", 0, [&] {
    auto const sums = pool.parallelize<sum_of<T>>(*values);
    EXPECT_EQ(sums.at(0) + sums.at(1), 6);
  });
  expect_copies("parallelize, behind the slice", 2, [&] {
    auto const sums = pool.parallelize<sum_with<T>>(std::vector{1, 2}, one);
    EXPECT_EQ(sums.at(0) + sums.at(1), 5);
  });
  expect_copies("parallelize_timed, behind the slice", 2, [&] {
    auto const timed = pool.parallelize_timed<sum_with<T>>(std::vector{1, 2}, one);
    EXPECT_EQ(timed.values.at(0) + timed.values.at(1), 5);
  });
  expect_copies("bind_back", 2, [&] {
    EXPECT_EQ(pool.call(procpool::bind_back(&sum_with<T>, one), std::vector{1}), 2);
  });
  expect_copies("share", 0, [&] {
    auto const shared = pool.share(one);
    EXPECT_EQ(pool.call<number_of<T>>(shared), 1);
  });
}

struct Medium {
  std::array<char, 16 << 10> bytes;
  int number;
};

// Without a look at the paint: it would die.
TEST(LargeValuesOnASmallStack, OfAQuarterOfItAreTaken) {
  if (support::sanitized) GTEST_SKIP() << "frames are larger than that";
  ProcessPool pool{{.workers = 1}};
  stack_of(
      [&] {
        EXPECT_EQ(number_of<Medium>(pool.call<made<Medium>>(7)), 7);
        EXPECT_EQ(sum_of(pool.map<made<Medium>>(std::vector{1, 2, 3})), 6);
        EXPECT_TRUE(pool.outcomes().map<made<Medium>>(std::vector{1}).front().has_value());
        for (Medium const& value : pool.imap<made<Medium>>(std::vector{7})) {
          EXPECT_EQ(value.number, 7);
        }
      },
      std::size_t{64} << 10);
}

// Runs what it is given where the test wants it.
class Later {
 public:
  procpool::Executor executor() {
    return [this](std::function<void()> work) {
      std::lock_guard const lock(mutex_);
      work_.push_back(std::move(work));
      more_.notify_all();
    };
  }
  void run_one() {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      more_.wait(lock, [this] { return !work_.empty(); });
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::function<void()>> work_;
};

template <class T>
procpool::Future<int> awaits_on(ProcessPool& pool, procpool::Executor executor) {
  T const value = co_await pool.with({.executor = executor}).template submit<made_late<T>>(7);
  co_return value.number;
}
template <class T>
procpool::Future<T> returns(ProcessPool& pool, procpool::Executor executor) {
  co_return co_await pool.with({.executor = executor}).template submit<made_late<T>>(7);
}

TYPED_TEST(LargeValues, InContinuations) {
  using T = TypeParam;
  ProcessPool& pool = this->pool();
  Later later;
  auto const submit = [&] {
    return pool.with({.executor = later.executor()}).template submit<made<T>>(7);
  };
  auto const run = [&] { later.run_one(); };
  auto const run_unless = [&](bool over) {
    if (!over) later.run_one();  // else the result was there at once, and nothing had to wait
  };
  {
    auto number = submit().then([](T const& value) { return value.number; });
    expect_copies("then, const&", 0, run);
    EXPECT_EQ(number.get(), 7);
  }
  {
    auto number = submit().then([](T value) { return value.number; });
    expect_copies("then, a value", own, run);
    EXPECT_EQ(number.get(), 7);
  }
  {
    auto number =
        submit().then([](procpool::Outcome<T> const& outcome) { return outcome.value().number; });
    expect_copies("then, an Outcome", 1, run);
    EXPECT_EQ(number.get(), 7);
  }
  {
    auto next = submit().then([](T const& value) { return made<T>(value.number + 1); });
    expect_copies("then, gives one", 0, run);
    expect_copies("then, get", 1, [&] { EXPECT_EQ(number_of<T>(next.get()), 8); });
  }
  {
    auto number = awaits_on<T>(pool, later.executor());
    expect_copies("co_await", 0, [&] { run_unless(number.ready()); });
    EXPECT_EQ(number.get(), 7);
  }
  {
    auto next = returns<T>(pool, later.executor());
    expect_copies("co_return", 0, [&] { run_unless(next.ready()); });
    expect_copies("co_return, get", 1, [&] { EXPECT_EQ(number_of<T>(next.get()), 7); });
  }
  expect_copies("when_all of two, for each", 4, [&] {
    auto const values = procpool::when_all(submit(), submit()).get();
    EXPECT_EQ(std::get<0>(values).number + std::get<1>(values).number, 14);
  });
  expect_copies("when_all of many", 0, [&] {
    std::vector<procpool::Future<T>> futures;
    futures.push_back(submit());
    futures.push_back(submit());
    EXPECT_EQ(sum_of(procpool::when_all(std::move(futures)).get()), 14);
  });
  expect_copies("when_any", 1, [&] {
    std::vector<procpool::Future<T>> futures;
    futures.push_back(submit());
    auto any = procpool::when_any(std::move(futures)).get();
    EXPECT_EQ(number_of<T>(any.futures.at(any.index).get()), 7);
  });
}

// The worker's own side, on the caller's thread.
TYPED_TEST(LargeValues, InAWorker) {
  using T = TypeParam;
  ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
  auto const one = std::make_unique<T>(made<T>(5));
  expect_copies("in a worker: a result", 1, [&] { (void)pool.submit<made<T>>(7); });
  expect_copies("in a worker: const&", 1, [&] { (void)pool.submit<number_of<T>>(*one); });
  expect_copies("in a worker: a value", 1 + own,
                [&] { (void)pool.submit<number_of_value<T>>(*one); });
  expect_copies("in a worker: const&, a result", 2,
                [&] { (void)pool.submit<same_value<T>>(*one); });
  expect_copies("in a worker: a slice", 0, [&] {
    std::vector<T> two;
    two.push_back(*one);
    pool.parallelize<sum_of<T>>(two);
  });
  expect_copies("in a worker: behind the slice", 2,
                [&] { pool.parallelize<sum_with<T>>(std::vector{1, 2}, *one); });
  expect_copies("in a worker: timed", 1,
                [&] { pool.parallelize_timed<one_of<T>>(std::vector{1, 2}); });
}

TEST(LargeValuesReduced, LieOnNoStack) {
  ProcessPool pool{{.workers = 2}};
  ProcessPool here{{.start = {.method = procpool::Start::in_process}}};
  // The caller's own two: what he gives, and what he gets.
  expect_copies("parallelize_reduce", 4, [&] {
    EXPECT_EQ((pool.parallelize_reduce<made<Plain>, added<Plain>>(0, 8, Plain{}).number), 28);
  });
  expect_copies("parallelize_reduce, in a worker", 5, [&] {
    EXPECT_EQ((here.parallelize_reduce<made<Plain>, added<Plain>>(0, 8, Plain{}).number), 28);
  });
}

}  // namespace
