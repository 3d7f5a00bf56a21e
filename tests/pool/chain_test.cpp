// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Long chains of continuations and coroutines: neither their number nor their depth costs stack,
// and what has ended costs no memory.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <coroutine>
#include <fstream>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/gate.hpp"
#include "support/memory.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::Outcome;
using procpool::ProcessPool;

using tasks::after;
using tasks::fail;
using tasks::increment;

int const many_links = support::rounds(200'000, 10'000);

using support::resident;

// A future without a pool that is ready: the links are all there is.
Future<int> ready(int x) { co_return x; }

Future<int> returns_the_next(int left, int value) {
  return ready(value).then(
      [left](int now) { return left == 0 ? ready(now) : returns_the_next(left - 1, now + 1); });
}

TEST(Chain, OfContinuationsThatReturnTheNextNeedsNeitherStackNorMemory) {
  EXPECT_EQ(returns_the_next(1'000, 0).get(), 1'000);
  std::size_t const before = resident();
  std::atomic<std::size_t> most = 0;
  auto const probed = returns_the_next(many_links, 0).then([&](int x) {
    most = resident();
    return x;
  });
  static_cast<void>(probed.wait_for(50s));
  EXPECT_TRUE(probed.ready());
  // A link that stayed would cost 300 bytes and more. (A sanitizer keeps what was freed.)
  if (!support::sanitized) {
    EXPECT_LT(most, before + many_links * 100ul + 1'000'000);
  }
}

// Over a pool: each of them begins when the one before it has ended.
Future<int> submits_the_next(ProcessPool& pool, int left, int value) {
  return pool.submit<increment>(value).then([&pool, left](int now) {
    return left == 0 ? pool.submit<increment>(now) : submits_the_next(pool, left - 1, now);
  });
}

TEST(Chain, OfCallsGivesTheLastOnesValueAndItsError) {
  ProcessPool pool{2};
  EXPECT_EQ(submits_the_next(pool, 3'000, 0).get(), 3'002);
  auto const fails = [&pool](int) { return pool.submit<fail>(1); };
  EXPECT_THROW(submits_the_next(pool, 10, 0).then(fails).get(), std::out_of_range);
  // Dropped on the way: it goes on to its end.
  std::promise<void> ended;
  submits_the_next(pool, 100, 0).on_ready([&ended] { ended.set_value(); });
  EXPECT_EQ(ended.get_future().wait_for(30s), std::future_status::ready);
}

// Each continuation may end after a task that it started: the links are put together in any order.
TEST(Chain, OnAnExecutorWithSeveralThreads) {
  ProcessPool pool{2};
  procpool::CallOptions options;
  options.executor = [](std::function<void()> work) { std::thread(std::move(work)).detach(); };
  auto view = pool.with(options);
  struct Loop {
    procpool::PoolView& view;
    Future<int> operator()(int left, int value) const {
      return view.submit<increment>(value).then([self = *this, left](int now) {
        auto next = left == 0 ? self.view.submit<increment>(now) : self(left - 1, now);
        if (left % 5 == 0) std::this_thread::sleep_for(1ms);  // the next one is ready by then
        return next;
      });
    }
  };
  std::vector<Future<int>> all;
  for (int i = 0; i < 4; ++i) all.push_back(Loop{view}(200, i));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i + 202);
}

TEST(Chain, BuiltForwardsEndsAndIsDroppedWithoutDepth) {
  std::latch built(1);
  ProcessPool pool{1};
  auto future = pool.submit<increment>(0).then([&built](int x) {
    built.wait();
    return x;
  });
  for (int i = 0; i < many_links / 2; ++i)
    future = std::move(future).then([](int x) { return x + 1; });
  built.count_down();
  EXPECT_EQ(future.get(), 1 + many_links / 2);
}

TEST(Chain, OfJoinsEndsAndIsDroppedWithoutDepth) {
  std::latch built(2);
  ProcessPool pool{1};
  auto const joins = [&] {
    auto all = pool.submit<increment>(0).then([&built](int) { built.wait(); });
    for (int i = 0; i < many_links; ++i) {
      std::vector<Future<void>> two;
      two.push_back(std::move(all));
      all = procpool::when_all(std::move(two));
    }
    built.count_down();
    return all;
  };
  auto future = joins();
  static_cast<void>(joins());  // and without anybody who gets it
  future.get();
}

// ---- coroutines

Future<int> deep_chain(ProcessPool& pool, int left) {
  int const now = co_await pool.submit<increment>(left);
  if (left == 0) co_return now;
  co_return 1 + co_await deep_chain(pool, left - 1);
}

Future<int> hand_on(int left) {
  int const now = co_await ready(1).then([](int x) { return x; });
  if (left == 0) co_return now;
  co_return hand_on(left - 1);
}

Future<int> deep_without_pool(int left) {
  int const now = co_await ready(1).then([](int x) { return x; });
  if (left == 0) co_return now;
  co_return now + co_await deep_without_pool(left - 1);
}

TEST(Chain, OfCoroutinesThatAwaitEachOtherNeedsNoStack) {
  ProcessPool pool{1};
  EXPECT_EQ(deep_chain(pool, 500).get(), 501);
  EXPECT_EQ(deep_without_pool(many_links / 2).get(), many_links / 2 + 1);
}

TEST(Chain, OfCoroutinesThatReturnTheNextNeedsNoMemoryEither) {
  EXPECT_EQ(hand_on(1'000).get(), 1);
  std::size_t const before = resident();
  std::atomic<std::size_t> most = 0;
  EXPECT_EQ(hand_on(many_links / 2)
                .then([&](int x) {
                  most = resident();
                  return x;
                })
                .get(),
            1);
  if (!support::sanitized) {
    EXPECT_LT(most, before + many_links * 50ul + 1'000'000);
  }
}

// ---- a coroutine and its pool

Future<int> child(ProcessPool& pool) { co_return co_await pool.submit<after>(20); }

TEST(CoroutinePool, WaitsForACoroutineThatAwaitsACoroutine) {
  std::atomic<bool> over = false;
  Future<int> future;
  {
    auto pool = std::make_unique<ProcessPool>(1);
    auto const parent = [](ProcessPool& own, std::atomic<bool>& told) -> Future<int> {
      int const first = co_await child(own);
      std::this_thread::sleep_for(100ms);
      told = true;
      co_return first + co_await own.submit<increment>(1);
    };
    future = parent(*pool, over);
    pool.reset();
    EXPECT_TRUE(over);
  }
  EXPECT_THROW(future.get(), procpool::PoolClosed);
}

TEST(CoroutinePool, GoesOnOnItsOneCallbackThread) {
  ProcessPool pool{2};
  auto const grandchild = [](ProcessPool& own) -> Future<std::thread::id> {
    co_await own.submit<after>(1);
    co_return std::this_thread::get_id();
  };
  auto const parent = [&](ProcessPool& own) -> Future<bool> {
    auto const below = co_await grandchild(own);
    co_return below == std::this_thread::get_id();
  };
  auto const thread =
      pool.submit<increment>(1).then([](int) { return std::this_thread::get_id(); }).get();
  std::vector<Future<bool>> all;
  for (int i = 0; i < 100; ++i) all.push_back(parent(pool));
  for (auto& each : all) EXPECT_TRUE(each.get());
  auto const there = [&](ProcessPool& own) -> Future<std::thread::id> {
    co_await parent(own);
    co_return std::this_thread::get_id();
  };
  EXPECT_EQ(there(pool).get(), thread);
  EXPECT_EQ(child(pool).then([](int) { return std::this_thread::get_id(); }).get(), thread);
}

TEST(CoroutinePool, OfItsArgumentsServesWhoAwaitsSomethingElseFirst) {
  ProcessPool pool{1};
  // Goes on on a thread of its own, later.
  struct Elsewhere {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const {
      std::thread([coroutine] {
        std::this_thread::sleep_for(50ms);
        coroutine.resume();
      }).detach();
    }
    void await_resume() const noexcept {}
  };
  auto const stranger = [](ProcessPool&) -> Future<int> {
    co_await Elsewhere{};
    co_return 1;
  };
  auto const thread =
      pool.submit<increment>(1).then([](int) { return std::this_thread::get_id(); }).get();
  EXPECT_EQ(stranger(pool).then([](int) { return std::this_thread::get_id(); }).get(), thread);
}

TEST(CoroutinePool, KeepsTheExecutorOfTheCallAtEveryLevel) {
  ProcessPool pool{1};
  std::mutex mutex;
  std::vector<std::thread::id> threads;
  procpool::CallOptions options;
  options.executor = [&](std::function<void()> work) {
    std::thread thread([&] {
      {
        std::lock_guard const lock(mutex);
        threads.push_back(std::this_thread::get_id());
      }
      work();
    });
    thread.join();
  };
  auto const here = [&] {
    std::lock_guard const lock(mutex);
    return !threads.empty() && threads.back() == std::this_thread::get_id();
  };
  // What has ended by then is not waited for, and goes on where it is.
  support::Gate const gate;
  auto const behind_gate = [](std::string const& path) { support::wait_at(path); };
  // Of the call, not of the pool that is among the arguments.
  auto const lowest = [&](ProcessPool& own) -> Future<int> {
    co_await own.with(options).submit(behind_gate, gate.path());
    co_return here();
  };
  auto const middle = [&](ProcessPool& own) -> Future<int> {
    int const below = co_await lowest(own);
    co_return below + here();
  };
  auto const highest = [&](ProcessPool& own) -> Future<int> {
    int const below = co_await middle(own);
    co_return below + here();
  };
  Future<int> all = highest(pool).then([&](int below) { return below + here(); });
  gate.open();
  EXPECT_EQ(all.get(), 4);
}

std::size_t threads_now() {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("Threads:")) return std::stoul(line.substr(8));
  }
  return 0;
}

// Of coroutines that have no pool, too.
TEST(CoroutinePool, ManyThatWaitDoNotMakeAThreadEach) {
  std::vector<std::coroutine_handle<>> waiting;
  struct Gate {
    std::vector<std::coroutine_handle<>>& waiting;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { waiting.push_back(coroutine); }
    void await_resume() const noexcept {}
  };
  auto const inner = [&]() -> Future<int> {
    co_await Gate{waiting};
    co_return 1;
  };
  auto const outer = [&]() -> Future<int> { co_return co_await inner(); };
  std::size_t const before = threads_now();
  std::vector<Future<int>> all;
  for (int i = 0; i < 500; ++i) all.push_back(outer());
  EXPECT_LE(threads_now(), before + 2);
  for (auto const& each : waiting) each.resume();
  for (auto& each : all) EXPECT_EQ(each.get(), 1);
}

// ---- coroutines that are destroyed, and what they hold

struct Slow {  // takes its time to go
  std::shared_ptr<int> held;
  explicit Slow(std::shared_ptr<int> given) : held(std::move(given)) {}
  Slow(Slow const&) = default;
  Slow(Slow&&) = default;
  ~Slow() {
    if (held) std::this_thread::sleep_for(20ms);
  }
};

TEST(CoroutineEnd, DestroyedEarlyBreaksItsPromise) {
  auto const held = std::make_shared<int>(1);
  std::coroutine_handle<> place;
  struct Keep {
    std::coroutine_handle<>& place;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const noexcept { place = coroutine; }
    void await_resume() const noexcept {}
  };
  auto const waits = [](Slow parameter, std::coroutine_handle<>& out) -> Future<int> {
    auto const local = parameter.held;
    co_await Keep{out};
    co_return 1;
  };
  auto future = waits(Slow(held), place);
  EXPECT_FALSE(future.ready());
  EXPECT_EQ(held.use_count(), 3);
  auto told = std::move(future).then([&held](Outcome<int> outcome) {
    try {
      static_cast<void>(outcome.value());
    } catch (std::future_error const& error) {
      if (error.code() == std::future_errc::broken_promise) return held.use_count();
    }
    return -1L;
  });
  place.destroy();
  EXPECT_EQ(told.get(), 1);
}

TEST(CoroutineEnd, ParametersAndLocalsAreGoneWhenGetReturns) {
  ProcessPool pool{1};
  auto const holds = [](ProcessPool& own, Slow parameter) -> Future<int> {
    auto const local = parameter.held;
    co_return co_await own.submit<after>(1);
  };
  for (int i = 0; i < 5; ++i) {
    auto held = std::make_shared<int>(1);
    auto future = holds(pool, Slow(held));
    EXPECT_EQ(future.get(), 1);
    EXPECT_EQ(held.use_count(), 1);
  }
}

// A coroutine type of one's own that is destroyed while it waits for a call.
struct Owned {
  struct promise_type {
    Owned get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> coroutine;
};

TEST(CoroutineEnd, DestroyedWhileItWaitsForACallDoesNotGoOn) {
  std::atomic<bool> went_on = false;
  auto const run = [](ProcessPool& own, std::atomic<bool>& told) -> Owned {
    co_await own.submit<after>(50);
    told = true;
  };
  {
    ProcessPool pool{1};
    Owned const owned = run(pool, went_on);
    owned.coroutine.destroy();
  }
  EXPECT_FALSE(went_on);
}

}  // namespace
