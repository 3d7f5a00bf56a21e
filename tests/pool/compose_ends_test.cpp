// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Compositions when something goes wrong: a part is cancelled, refused, dropped, moved from, used
// in a forked child, or waited for by the end of a pool.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/in_child.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Cancel;
using procpool::Future;
using procpool::Outcome;
using procpool::ProcessPool;
using procpool::TaskCancelled;
using procpool::when_all;
using procpool::when_any;
using support::in_child;

using tasks::increment;
int fail_with_number(int x) { throw std::out_of_range("no " + std::to_string(x)); }
using tasks::after;
constexpr int long_time = 60'000;

// Notes that it has begun.
int run_long_noted(int x) {
  support::Trace::note(x);
  return after(long_time);
}
void wait_until_begun(support::Trace const& trace, std::size_t calls) {
  ASSERT_TRUE(support::until([&] { return trace.size() >= calls; }));
}

// ---- cancel

TEST(ComposedCancel, EndsWhatAContinuationWaitsFor) {
  support::Trace trace;
  ProcessPool pool{1};
  auto runs =
      pool.submit<run_long_noted>(1).then([](int x) { return x; }).then([](int x) { return x; });
  auto waits = pool.submit<increment>(1).then([](int x) { return x; });
  wait_until_begun(trace, 1);
  EXPECT_EQ(waits.cancel(), Cancel::never_began);
  EXPECT_THROW(waits.get(), TaskCancelled);
  EXPECT_FALSE(runs.ready());
  EXPECT_EQ(runs.cancel(), Cancel::ended);
  EXPECT_THROW(runs.get(), TaskCancelled);
  auto over = pool.submit<increment>(1).then([](int x) { return x; });
  over.wait();
  EXPECT_EQ(over.cancel(), Cancel::too_late);
  EXPECT_EQ(over.get(), 2);
}

TEST(ComposedCancel, EndsWhatAContinuationHasReturned) {
  support::Trace trace;
  ProcessPool pool{1};
  std::latch submitted(1);
  auto loop = pool.submit<increment>(1).then([&](int) {
    auto next = pool.submit<increment>(1).then([&](int) {
      auto last = pool.submit<run_long_noted>(1);
      submitted.count_down();
      return last;
    });
    return next;
  });
  submitted.wait();
  EXPECT_NE(loop.cancel(), Cancel::too_late);
  EXPECT_THROW(loop.get(), TaskCancelled);
}

TEST(ComposedCancel, EndsAllPartsOfAJoin) {
  support::Trace trace;
  ProcessPool pool{2};
  auto all = when_all(pool.submit<run_long_noted>(1), pool.submit<run_long_noted>(1),
                      pool.submit<increment>(1).then([](int x) { return x; }));
  wait_until_begun(trace, 2);
  EXPECT_EQ(all.cancel(), Cancel::ended);
  EXPECT_THROW(all.get(), TaskCancelled);
  std::vector<Future<int>> two;
  for (int i = 0; i < 2; ++i) two.push_back(pool.submit<run_long_noted>(1));
  auto any = when_any(std::move(two));
  EXPECT_NE(any.cancel(), Cancel::too_late);
  EXPECT_THROW(static_cast<void>(any.get()), TaskCancelled);
  EXPECT_EQ(when_all(pool.submit<increment>(1)).get(), std::tuple(2));  // nothing runs any more
}

TEST(ComposedCancel, EndsWhatACoroutineWaitsForAtEveryLevel) {
  support::Trace trace;
  ProcessPool pool{1};
  auto const child = [](ProcessPool& own) -> Future<int> {
    co_return co_await own.submit<run_long_noted>(1);
  };
  auto const parent = [&](ProcessPool& own) -> Future<int> {
    try {
      co_return co_await child(own);
    } catch (TaskCancelled const&) {
    }
    co_return co_await own.submit<increment>(1);  // it may go on: only what it waited for was ended
  };
  auto direct = child(pool);
  wait_until_begun(trace, 1);
  auto behind = child(pool);
  EXPECT_EQ(behind.cancel(), Cancel::never_began);
  EXPECT_THROW(behind.get(), TaskCancelled);
  EXPECT_EQ(direct.cancel(), Cancel::ended);
  EXPECT_THROW(direct.get(), TaskCancelled);
  auto nested = parent(pool);
  wait_until_begun(trace, 2);
  EXPECT_EQ(nested.cancel(), Cancel::ended);
  EXPECT_EQ(nested.get(), 2);
}

TEST(ComposedCancel, WhileItsOwnCodeRunsEndsWhatItWaitsForNext) {
  support::Trace trace;
  ProcessPool pool{1};
  std::latch runs(1);
  std::latch goes_on(1);
  auto future = pool.submit<increment>(1).then([&](int) {
    runs.count_down();
    goes_on.wait();
    return pool.submit<run_long_noted>(1);
  });
  std::atomic<bool> called = false;
  auto behind = pool.submit<increment>(1);
  behind.wait();
  auto never = std::move(behind).then([&called](int x) {
    called = true;
    return x;
  });
  auto told =
      pool.submit<increment>(1).then([](Outcome<int> outcome) { return outcome.has_value(); });
  runs.wait();
  static_cast<void>(told.wait_for(0s));
  EXPECT_EQ(future.cancel(), Cancel::ended);
  EXPECT_EQ(never.cancel(), Cancel::ended);  // it waits for the callback thread
  goes_on.count_down();
  EXPECT_THROW(future.get(), TaskCancelled);
  EXPECT_THROW(never.get(), TaskCancelled);
  EXPECT_FALSE(called);
  EXPECT_TRUE(told.get());
}

// ---- refused

TEST(Refused, JoinsConsumeNothing) {
  ProcessPool pool{1};
  auto one = pool.submit<increment>(1);
  auto two = pool.submit<increment>(2);
  Future<int> none;
  EXPECT_THROW(static_cast<void>(when_all(std::move(one), std::move(two), std::move(none))),
               std::logic_error);
  EXPECT_THROW(static_cast<void>(when_any(std::move(one), std::move(none))), std::logic_error);
  std::vector<Future<int>> three;
  three.push_back(std::move(one));
  three.push_back(std::move(two));
  three.emplace_back();
  EXPECT_THROW(static_cast<void>(when_all(std::move(three))), std::logic_error);
  EXPECT_THROW(static_cast<void>(when_any(std::move(three))), std::logic_error);
  EXPECT_THROW(static_cast<void>(procpool::as_completed(std::move(three))), std::logic_error);
  ASSERT_EQ(three.size(), 3u);
  EXPECT_EQ(three[0].get(), 2);
  EXPECT_EQ(three[1].get(), 3);
}

TEST(Refused, APoolThatWasMovedFrom) {
  ProcessPool pool{1};
  ProcessPool other = std::move(pool);
  std::array<std::function<void()>, 14> const uses{
      [&] { static_cast<void>(pool.submit<increment>(1)); },
      [&] { static_cast<void>(pool.call<increment>(1)); },
      [&] { static_cast<void>(pool.map<increment>(std::vector<int>{1})); },
      [&] { static_cast<void>(pool.imap<increment>(std::vector<int>{1})); },
      [&] { static_cast<void>(pool.with({})); },
      [&] { static_cast<void>(pool.share(1)); },
      [&] { pool.close(); },
      [&] { pool.join(); },
      [&] { static_cast<void>(pool.join_for(1s)); },
      [&] { pool.terminate(); },
      [&] { pool.resize(2); },
      [&] { static_cast<void>(pool.size()); },
      [&] { static_cast<void>(pool.stats()); },
      [&] { static_cast<void>(pool.worker_stats()); }};
  for (std::size_t i = 0; i < uses.size(); ++i) EXPECT_THROW(uses[i](), std::logic_error) << i;
  EXPECT_EQ(other.call<increment>(1), 2);
  auto stream = other.imap<increment>(std::vector<int>{1});
  auto const taken = std::move(stream);
  EXPECT_THROW(static_cast<void>(stream.begin()), std::logic_error);
  auto view = other.with({});
  auto moved = std::move(view);
  EXPECT_THROW(static_cast<void>(view.submit<increment>(1)), std::logic_error);
  EXPECT_EQ(moved.submit<increment>(1).get(), 2);
}

TEST(Refused, AViewOfAPoolThatIsGone) {
  auto pool = std::make_unique<ProcessPool>(1);
  auto view = pool->with({.chunk = 2});
  EXPECT_EQ(view.map<increment>(std::vector<int>{1}), std::vector<int>{2});
  pool.reset();
  EXPECT_THROW(view.map<increment>(std::vector<int>{1}), procpool::PoolClosed);
}

// ---- a forked child

TEST(ForkedChild, ComposesNothingThatCannotEndThere) {
  ProcessPool pool{1};
  auto one = pool.submit<after>(long_time);
  auto ended = pool.submit<increment>(1);
  std::vector<Future<int>> several;
  several.push_back(pool.submit<after>(long_time));
  auto then = pool.submit<after>(long_time).then([](int x) { return x; });
  auto coroutine = [](ProcessPool& own) -> Future<int> {
    co_return co_await own.submit<after>(long_time);
  }(pool);
  auto joined = when_all(pool.submit<after>(long_time), pool.submit<after>(long_time));
  auto results = pool.map_async<after>(std::vector<int>{long_time});
  auto iterated = procpool::as_completed(several);
  auto view = pool.with({.chunk = 1});
  std::vector<std::pair<char const*, std::function<void()>>> const uses{
      {"when_all", [&] { static_cast<void>(when_all(std::move(one))); }},
      {"when_all of a range", [&] { static_cast<void>(when_all(std::move(several))); }},
      {"when_any", [&] { static_cast<void>(when_any(std::move(one))); }},
      {"when_any of a range", [&] { static_cast<void>(when_any(std::move(several))); }},
      {"as_completed", [&] { static_cast<void>(procpool::as_completed(several)); }},
      {"as_completed of before", [&] { static_cast<void>(iterated.begin()); }},
      {"get", [&] { one.get(); }},
      {"get of a continuation", [&] { then.get(); }},
      {"get of a coroutine", [&] { coroutine.get(); }},
      {"get of a join", [&] { joined.get(); }},
      {"get of results", [&] { results.get(); }},
      {"wait_for", [&] { static_cast<void>(results.wait_for(1h)); }},
      {"then", [&] { static_cast<void>(one.then([](int) {})); }},
      {"then of a continuation", [&] { static_cast<void>(then.then([](int) {})); }},
      {"on_ready", [&] { joined.on_ready([] {}); }},
      {"cancel", [&] { one.cancel(); }},
      {"cancel of a continuation", [&] { then.cancel(); }},
      {"cancel of a join", [&] { joined.cancel(); }},
      {"a view", [&] { static_cast<void>(view.map<increment>(std::vector<int>{1})); }},
      {"co_await", [&] {
         [](Future<int>& awaited) -> Future<int> { co_return co_await awaited; }(one).get();
       }}};
  for (auto const& [name, use] : uses) EXPECT_EQ(in_child(use), 'S') << name;
  pool.terminate();
  EXPECT_TRUE(ended.valid());
}

TEST(ForkedChild, TakesWhatHadEnded) {
  ProcessPool pool{1};
  auto one = pool.submit<increment>(1);
  auto two = pool.submit<increment>(2);
  one.wait();
  two.wait();
  EXPECT_EQ(in_child([&] {
              if (when_all(std::move(one), std::move(two)).get() != std::tuple(2, 3)) ::_exit('x');
            }),
            'v');
}

TEST(ForkedChild, DoesNotWaitForProgressThatIsToldElsewhere) {
  std::latch told(1);
  std::latch goes_on(1);
  {
    ProcessPool pool{1};
    procpool::CallOptions options;
    options.progress = [&](procpool::Progress const& progress) {
      if (!progress.finished) return;
      told.count_down();
      goes_on.wait();
    };
    auto results = pool.with(options).map_async<increment>(std::vector<int>{1});
    told.wait();
    EXPECT_EQ(in_child([&] { results.get(); }), 'S');
    goes_on.count_down();
    EXPECT_EQ(results.get(), std::vector<int>{2});
  }
}

// ---- dropped

struct EndLog {
  procpool::PoolOptions options(procpool::Count workers) {
    procpool::PoolOptions made;
    made.workers = workers;
    made.log = [this](std::string_view line) {
      std::lock_guard const lock(mutex);
      lines.emplace_back(line);
    };
    return made;
  }
  std::size_t with(std::string_view words) {
    std::lock_guard const lock(mutex);
    std::size_t found = 0;
    for (std::string const& line : lines) found += line.find(words) != std::string::npos ? 1 : 0;
    return found;
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};

TEST(Dropped, ErrorsReachTheLogOnceWithTheirElement) {
  for (int const kind : {0, 1, 2, 3, 4}) {
    EndLog log;
    {
      ProcessPool pool{log.options(1)};
      switch (kind) {
        case 0: static_cast<void>(pool.submit<fail_with_number>(7)); break;
        case 1: {
          auto future = pool.submit<fail_with_number>(7);
          future.wait();
          break;
        }
        case 2:
          static_cast<void>(pool.submit<fail_with_number>(7).then([](int x) { return x; }));
          break;
        case 3: static_cast<void>(pool.map_async<fail_with_number>(std::vector<int>{7})); break;
        default:
          static_cast<void>(when_all(pool.submit<fail_with_number>(7), pool.submit<increment>(1)));
          break;
      }
      pool.join();
    }
    EXPECT_EQ(log.with("no 7"), 1u) << kind;
    EXPECT_EQ(log.lines.size(), 1u) << kind;
    if (kind != 2) {
      EXPECT_EQ(log.with("element 0"), 1u) << kind;
    }
  }
}

TEST(Dropped, NothingIsSaidOfWhatWasLookedAtOrCancelled) {
  EndLog log;
  {
    ProcessPool pool{log.options(2)};
    EXPECT_THROW(pool.submit<fail_with_number>(1).get(), std::out_of_range);
    EXPECT_THROW(when_all(pool.submit<fail_with_number>(1), pool.submit<fail_with_number>(2)).get(),
                 std::out_of_range);
    EXPECT_FALSE(pool.submit<fail_with_number>(1)
                     .then([](Outcome<int> outcome) { return outcome.has_value(); })
                     .get());
    EXPECT_THROW(pool.call<fail_with_number>(1), std::out_of_range);
    EXPECT_THROW(pool.map<fail_with_number>(std::vector<int>{1, 2, 3}), std::out_of_range);
    static_cast<void>(pool.submit<increment>(1));
    auto moved = pool.submit<increment>(1);
    moved = pool.submit<increment>(2);
    static_cast<void>(pool.submit<after>(long_time));
    pool.terminate();
  }
  EXPECT_EQ(log.lines.size(), 0u) << log.lines.front();
}

TEST(Dropped, ManyErrorsAreCountedRatherThanTold) {
  EndLog log;
  {
    ProcessPool pool{log.options(1)};
    for (int i = 0; i < 1'000; ++i) static_cast<void>(pool.submit<fail_with_number>(i));
  }
  EXPECT_GE(log.lines.size(), 2u);
  EXPECT_LT(log.lines.size(), 60u);
  EXPECT_EQ(log.with("more errors"), 1u);
}

// ---- when_any, again and again

std::size_t allocated() { return ::mallinfo2().uordblks; }

TEST(WhenAnyLoop, LeavesNothingOnWhatLivesLong) {
  ProcessPool pool{2};
  auto lasting = pool.submit<after>(long_time);
  auto const rounds = [&](int number) {
    for (int i = 0; i < number; ++i) {
      auto any = when_any(std::move(lasting), pool.submit<increment>(i)).get();
      ASSERT_EQ(any.index, 1u);
      lasting = std::move(std::get<0>(any.futures));
      std::vector<Future<int>> two;
      two.push_back(std::move(lasting));
      two.push_back(pool.submit<increment>(i));
      auto ended = procpool::as_completed(two);
      ASSERT_TRUE(ended.begin() != ended.end());  // and the other one is never asked for
      lasting = std::move(two[0]);
    }
  };
  rounds(1'000);
  std::size_t const before = allocated();
  rounds(support::rounds(10'000, 1'000));
  // 20,000 callbacks that stayed would be more than three million bytes. (With a sanitizer both are
  // zero.)
  EXPECT_LT(allocated(), before + 500'000);
  lasting.cancel();
}

}  // namespace
