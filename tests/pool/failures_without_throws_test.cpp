// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A failure costs one throw, that of the task itself, unless somebody asks for another. Throws are
// counted by standing in for the functions of the C++ runtime, in the program and in its workers.

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCPOOL_TEST_COUNTS_THROWS 0  // the sanitizer stands in for them itself
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PROCPOOL_TEST_COUNTS_THROWS 0
#endif
#endif
#ifndef PROCPOOL_TEST_COUNTS_THROWS
#define PROCPOOL_TEST_COUNTS_THROWS 1
#endif

#if PROCPOOL_TEST_COUNTS_THROWS

namespace {

std::atomic<int> throws{0};

template <class F>
F next(char const* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// By their symbols: the runtime's own headers declare some of them.
[[noreturn]] void counted_throw(void* object, void* type,
                                void (*destroy)(void*)) asm("__cxa_throw");
[[noreturn]] void counted_rethrow() asm("__cxa_rethrow");
// std::rethrow_exception. The exception_ptr is handed on by its address.
[[noreturn]] void counted_rethrow_exception(void* error) asm(
    "_ZSt17rethrow_exceptionNSt15__exception_ptr13exception_ptrE");

void counted_throw(void* object, void* type, void (*destroy)(void*)) {
  ++throws;
  next<void (*)(void*, void*, void (*)(void*))>("__cxa_throw")(object, type, destroy);
  __builtin_unreachable();
}

void counted_rethrow() {
  ++throws;
  next<void (*)()>("__cxa_rethrow")();
  __builtin_unreachable();
}

void counted_rethrow_exception(void* error) {
  ++throws;
  next<void (*)(void*)>("_ZSt17rethrow_exceptionNSt15__exception_ptr13exception_ptrE")(error);
  __builtin_unreachable();
}

namespace {

struct Listed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Way { standard, listed, nested, number, crash, returns };

int fail(Way way) {
  switch (way) {
    case Way::standard: throw std::out_of_range("outside");
    case Way::listed: throw Listed("listed");
    case Way::nested: try { throw std::domain_error("inner");
      } catch (...) {
        std::throw_with_nested(std::runtime_error("outer"));
      }
    case Way::number: throw 42;
    case Way::crash: ::raise(SIGKILL); break;
    case Way::returns: break;
  }
  return 1;
}

int throws_so_far(int) { return throws; }

class FailuresWithoutThrows : public testing::Test {
 protected:
  procpool::ProcessPool pool{{.workers = 1, .exceptions = procpool::exception_types<Listed>()}};
};

TEST_F(FailuresWithoutThrows, TheCounterCounts) {
  int const before = throws;
  try {
    std::rethrow_exception(std::make_exception_ptr(1));
  } catch (...) {
    try {
      throw;
    } catch (int) {
    }
  }
  try {
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(throws - before, 3);
}

TEST_F(FailuresWithoutThrows, InTheProgram) {
  std::vector const ways{Way::standard, Way::listed, Way::nested, Way::number, Way::crash};
  int const before = throws;
  auto outcomes = pool.outcomes().map<fail>(ways);
  outcomes.push_back(pool.outcomes().call<fail>(Way::crash));
  for (auto const& outcome : pool.outcomes().imap<fail>(ways)) outcomes.push_back(outcome);
  auto cancelled = pool.outcomes().map_async<fail>(std::vector(100, Way::standard));
  cancelled.cancel();
  for (auto& outcome : cancelled.get()) outcomes.push_back(std::move(outcome));
  std::size_t length = 0;
  for (auto const& outcome : outcomes) {
    ASSERT_FALSE(outcome);
    length += outcome.error().describe().size() + std::string(outcome.error().what()).size();
  }
  EXPECT_GT(length, 0u);
  EXPECT_EQ(throws - before, 0);
  EXPECT_NE(outcomes[0].error().as<std::out_of_range>(), nullptr);
  EXPECT_NE(outcomes[1].error().as<Listed>(), nullptr);
}

TEST_F(FailuresWithoutThrows, InAContinuationThatTakesTheOutcome) {
  int const before = throws;
  auto kind = pool.submit<fail>(Way::standard).then([](procpool::Outcome<int> const& outcome) {
    return outcome.attempts() == 1 && outcome.pid() > 0 ? outcome.error().kind()
                                                        : procpool::FailureKind::refused;
  });
  EXPECT_EQ(kind.get(), procpool::FailureKind::threw);
  EXPECT_EQ(throws - before, 0);
}

TEST_F(FailuresWithoutThrows, InContinuationsOfComposedFutures) {
  using namespace std::chrono_literals;
  auto const failing = [this] { return pool.submit<fail>(Way::standard); };
  auto const good = [this] { return pool.submit<fail>(Way::returns); };
  auto const kind_of = []<class T>(procpool::Future<T> future) {
    return future
        .then([](procpool::Outcome<T> const& outcome) {
          return outcome ? procpool::FailureKind::refused : outcome.error().kind();
        })
        .get();
  };
  auto const nothing = [](int) {};
  auto const plus = [](int x) { return x + 1; };
  constexpr auto threw = procpool::FailureKind::threw;
  int const before = throws;
  EXPECT_EQ(kind_of(failing().then(plus)), threw);
  EXPECT_EQ(kind_of(failing().then(plus).then(nothing)), threw);
  EXPECT_EQ(kind_of(failing().then(plus).finally([] {})), threw);
  EXPECT_EQ(kind_of(failing().finally([] {}).within(10min)), threw);
  EXPECT_EQ(kind_of(good().then([&](int) { return failing(); })), threw);
  EXPECT_EQ(kind_of(procpool::when_all(good(), failing())), threw);
  EXPECT_EQ(kind_of(procpool::when_all(good(), failing().then(nothing), failing())), threw);
  EXPECT_EQ(failing().or_else([](procpool::Failure const&) { return 3; }).get(), 3);
  std::vector<procpool::Future<int>> values;
  std::vector<procpool::Future<void>> voids;
  for (int i = 0; i < 3; ++i) {
    values.push_back(i == 1 ? failing() : good());
    voids.push_back((i == 1 ? failing() : good()).then(nothing));
  }
  EXPECT_EQ(kind_of(procpool::when_all(std::move(values))), threw);
  EXPECT_EQ(kind_of(procpool::when_all(std::move(voids))), threw);
  for (auto const how : {procpool::OnError::finish, procpool::OnError::collect}) {
    auto results = pool.with({.on_error = how}).map_async<fail>(std::vector(3, Way::standard));
    EXPECT_EQ(std::move(results)
                  .then([how](procpool::Outcome<std::vector<int>> const& outcome) {
                    auto const* const all = outcome.error().as<procpool::ElementErrors>();
                    return how == procpool::OnError::collect
                               ? all != nullptr && all->failures().size() == 3
                               : outcome.error().as<std::out_of_range>() != nullptr;
                  })
                  .get(),
              true);
  }
  auto const outcomes = procpool::when_all_outcomes(failing().then(plus), failing()).get();
  EXPECT_FALSE(std::get<0>(outcomes));
  EXPECT_EQ(throws - before, 0);
}

TEST_F(FailuresWithoutThrows, InCancelledContinuations) {
  procpool::Promise<int> promise;
  auto late = promise.get_future().then([](int x) { return x; });
  auto kind =
      procpool::when_any(std::move(late), pool.submit<fail>(Way::standard))
          .then([](auto any) { return std::move(std::get<0>(any.futures)); })
          .then([](procpool::Outcome<int> const& outcome) { return outcome.error().kind(); });
  int const before = throws;
  EXPECT_NE(kind.cancel(), procpool::Cancel::too_late);
  promise.set_value(1);
  EXPECT_EQ(kind.get(), procpool::FailureKind::cancelled);
  EXPECT_EQ(throws - before, 0);
}

TEST_F(FailuresWithoutThrows, BesideThatOfTheTaskInTheWorker) {
  int before = pool.call<throws_so_far>(0);
  auto const cost = [&](Way way) {
    static_cast<void>(pool.outcomes().call<fail>(way));
    int const after = pool.call<throws_so_far>(0);
    return after - std::exchange(before, after);
  };
  EXPECT_EQ(cost(Way::returns), 0);
  EXPECT_EQ(cost(Way::standard), 1);
  EXPECT_EQ(cost(Way::listed), 1);
  EXPECT_EQ(cost(Way::nested), 2);
  EXPECT_EQ(cost(Way::number), 1);
}

}  // namespace

#endif
