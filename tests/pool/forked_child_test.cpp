// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A forked child of the program: every member of a pool, and of what a pool has made, throws
// SetupError there at once if it would need the pool, and none hangs; what merely goes does so
// without a word.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "support/in_child.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Future;
using procpool::Outcome;
using procpool::PoolOptions;
using procpool::ProcessPool;
using procpool::Results;
using procpool::Start;
using support::in_child;

using tasks::add;
using tasks::increment;
int int_size_of(std::vector<int> const& slice) { return static_cast<int>(slice.size()); }
using tasks::after;
constexpr int a_minute = 60'000;
std::vector<int> const some{1, 2, 3};

using Uses = std::vector<std::pair<char const*, std::function<void()>>>;

// Of a pool and of a view of it, each operation.
template <class P>
void add_operations(Uses& uses, P& pool) {
  uses.insert(
      uses.end(),
      {{"submit", [&] { static_cast<void>(pool.template submit<increment>(1)); }},
       {"call", [&] { pool.template call<increment>(1); }},
       {"try_submit", [&] { static_cast<void>(pool.template try_submit<increment>(1)); }},
       {"map", [&] { pool.template map<increment>(some); }},
       {"map of nothing", [&] { pool.template map<increment>(std::vector<int>()); }},
       {"map_async", [&] { static_cast<void>(pool.template map_async<increment>(some)); }},
       {"outcomes().map", [&] { pool.outcomes().template map<increment>(some); }},
       {"starmap", [&] { pool.template starmap<add>(std::vector<std::tuple<int, int>>{{1, 2}}); }},
       {"starmap_async",
        [&] {
          static_cast<void>(
              pool.template starmap_async<add>(std::vector<std::tuple<int, int>>{{1, 2}}));
        }},
       {"imap", [&] { static_cast<void>(pool.template imap<increment>(some)); }},
       {"imap_unordered",
        [&] { static_cast<void>(pool.template imap_unordered<increment>(some)); }},
       {"parallelize", [&] { pool.template parallelize<int_size_of>(some); }},
       {"parallelize_reduce", [&] { pool.template parallelize_reduce<increment, add>(0, 3, 0); }}});
}

class ForkedChildOf : public testing::TestWithParam<Start> {};

TEST_P(ForkedChildOf, APool) {
  PoolOptions options;
  options.workers = 1;
  options.start.method = GetParam();
  ProcessPool pool{options};
  ProcessPool other{options};
  EXPECT_EQ(pool.call<increment>(1), 2);
  auto view = pool.with({.chunk = {}});
  Uses uses{{"with", [&] { static_cast<void>(pool.with({})); }},
            {"share", [&] { static_cast<void>(pool.share(1)); }},
            {"close", [&] { pool.close(); }},
            {"join", [&] { pool.join(); }},
            {"join_for", [&] { static_cast<void>(pool.join_for(1h)); }},
            {"terminate", [&] { pool.terminate(); }},
            {"shutdown", [&] { pool.shutdown(); }},
            {"shutdown with a deadline", [&] { pool.shutdown(procpool::End::cancel, 1h); }},
            {"resize", [&] { pool.resize(2); }},
            {"size", [&] { static_cast<void>(pool.size()); }},
            {"stats", [&] { static_cast<void>(pool.stats()); }},
            {"worker_stats", [&] { static_cast<void>(pool.worker_stats()); }}};
  add_operations(uses, pool);
  std::size_t const of_pool = uses.size();
  add_operations(uses, view);
  for (std::size_t i = 0; i < uses.size(); ++i) {
    EXPECT_EQ(in_child(uses[i].second), 'S')
        << uses[i].first << (i < of_pool ? "" : " of a view of it");
  }
  EXPECT_EQ(in_child([&] {
              ProcessPool const gone = std::move(pool);
              other = ProcessPool(options);
              static_cast<void>(other.size());  // one of its own
            }),
            'v');
  EXPECT_EQ(pool.call<increment>(1), 2);
}

INSTANTIATE_TEST_SUITE_P(Starts, ForkedChildOf, support::every_start(), support::start_name);

Future<int> awaits_future(Future<int>& awaited) { co_return co_await awaited; }

// Handles of what has not ended.
TEST(ForkedChildOfPending, Handles) {
  ProcessPool pool{1};
  auto begun = pool.imap<after>(std::vector<int>{0, a_minute});
  auto place = begun.begin();
  auto future = pool.submit<after>(a_minute);
  auto results = pool.map_async<after>(std::vector<int>{a_minute});
  auto composed = pool.submit<after>(a_minute).then([](int x) { return x; });
  auto const each = [](auto& handle, Uses& uses) {
    uses.insert(uses.end(),
                {{"wait", [&] { handle.wait(); }},
                 {"wait_for", [&] { static_cast<void>(handle.wait_for(1h)); }},
                 {"get", [&] { handle.get(); }},
                 {"cancel", [&] { handle.cancel(); }},
                 {"then", [&] { static_cast<void>(handle.then([](auto) {})); }},
                 {"on_ready", [&] { handle.on_ready([] {}); }},
                 {"when_all", [&] { static_cast<void>(when_all(std::move(handle))); }},
                 {"when_any", [&] { static_cast<void>(when_any(std::move(handle))); }}});
  };
  Uses uses;
  each(future, uses);
  each(results, uses);
  each(composed, uses);
  std::vector<Future<int>> several;
  several.push_back(pool.submit<after>(a_minute));
  auto iterated = procpool::as_completed(several);
  auto stream = pool.imap<after>(std::vector<int>{a_minute});
  uses.insert(uses.end(),
              {{"output", [&] { static_cast<void>(future.output()); }},
               {"results: output", [&] { static_cast<void>(results.output(0)); }},
               {"results: total", [&] { static_cast<void>(results.total()); }},
               {"results: done", [&] { static_cast<void>(results.done()); }},
               {"results: failed", [&] { static_cast<void>(results.failed()); }},
               {"co_await", [&] { awaits_future(future).get(); }},
               {"when_all of a range", [&] { static_cast<void>(when_all(std::move(several))); }},
               {"when_any of a range", [&] { static_cast<void>(when_any(std::move(several))); }},
               {"as_completed", [&] { static_cast<void>(procpool::as_completed(several)); }},
               {"as_completed of before", [&] { static_cast<void>(iterated.begin()); }},
               {"stream", [&] { static_cast<void>(stream.begin()); }},
               {"stream that has begun", [&] {
                  for (int i = 0; i < 2; ++i) ++place;
                }}});
  for (std::size_t i = 0; i < uses.size(); ++i) {
    EXPECT_EQ(in_child(uses[i].second), 'S') << i << ": " << uses[i].first;
  }
  // Uses that need nothing from the program's pool.
  EXPECT_EQ(in_child([&] {
              if (future.ready() || !future.valid()) ::_exit('x');
              auto const gone = std::tuple(std::move(future), std::move(results),
                                           std::move(composed), std::move(stream));
            }),
            'v');
  pool.terminate();
}

}  // namespace
