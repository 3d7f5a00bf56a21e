// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Start::in_process: the same public API, with tasks run in the caller.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"

namespace {

int calls_here = 0;

int count(int x) {
  ++calls_here;
  return 2 * x;
}
using tasks::who;
std::thread::id thread_here;
void note_thread() { thread_here = std::this_thread::get_id(); }
int odd_throws(int x) {
  if (x % 2 != 0) throw std::out_of_range(std::to_string(x));
  return x;
}
struct ScaleBy {
  int factor = 1;
  int operator()(int x) const { return factor * x; }
};

}  // namespace

TEST(InProcess, RunsTasksInTheCaller) {
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = procpool::Start::in_process}}};
  calls_here = 0;
  EXPECT_EQ(pool.map<count>(std::vector{1, 2, 3}), (std::vector{2, 4, 6}));
  EXPECT_EQ(calls_here, 3);
  EXPECT_EQ(pool.call<who>(), ::getpid());
  pool.call<note_thread>();
  EXPECT_EQ(thread_here, std::this_thread::get_id());
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

TEST(InProcess, HasTheSameOutcomes) {
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = procpool::Start::in_process}}};
  auto const outcomes = pool.outcomes().map<odd_throws>(std::vector{0, 1, 2, 3});
  ASSERT_EQ(outcomes.size(), 4u);
  EXPECT_EQ(outcomes[0].value(), 0);
  EXPECT_EQ(outcomes[2].value(), 2);
  auto const error = support::error_of<procpool::FromWorker<std::out_of_range>>(outcomes[3]);
  EXPECT_STREQ(error.what(), "3");
  EXPECT_EQ(error.element, 3u);
  EXPECT_EQ(pool.map(ScaleBy{5}, std::vector{1, 2}), (std::vector{5, 10}));
  EXPECT_EQ(pool.starmap([](int a, std::string b) { return b + std::to_string(a); },
                         std::vector{std::tuple(1, "x")}),
            std::vector<std::string>{"x1"});
  EXPECT_THROW(pool.call([]() -> int { throw 42; }), procpool::RemoteError);
  auto const stats = pool.stats();
  EXPECT_EQ(stats.queued + stats.running + stats.done, stats.submitted);
  EXPECT_EQ(stats.done, stats.submitted);
}

TEST(InProcess, EndsLikeAnyPool) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = procpool::Start::in_process}}};
  auto future = pool.submit<count>(4);
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.submit<count>(4)), procpool::PoolClosed);
  EXPECT_TRUE(pool.join_for(std::chrono::seconds(1)));
  auto const summary = pool.shutdown(procpool::End::kill);
  EXPECT_EQ(summary.done, 1u);
  EXPECT_EQ(future.get(), 8);
}
