// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// this_task::progress: read by the program while the task runs, and believed by nobody.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace task_progress_test {
namespace {

using namespace std::chrono_literals;

using tasks::square;

// Tells `done` of `total`, and waits.
int tells(int done, int total, std::string const& gate) {
  procpool::this_task::progress(static_cast<std::uint64_t>(done),
                                static_cast<std::uint64_t>(total));
  support::Trace::note(done);
  support::wait_at(gate);
  return done;
}
int tells_nothing(std::string const& gate) {
  support::Trace::note(0);
  support::wait_at(gate);
  return 0;
}
int tells_from_a_thread(std::string const& gate) {
  std::thread([] { procpool::this_task::progress(3, 4); }).join();
  support::Trace::note(3);
  support::wait_at(gate);
  return 3;
}
int goes_on(std::string const& gate) {
  std::uint64_t steps = 0;
  std::error_code gone;
  while (std::filesystem::file_size(gate, gone) == 0 && !gone) {
    procpool::this_task::progress(++steps, 1'000'000'000);
  }
  return 1;
}

class TaskProgress : public testing::TestWithParam<procpool::Start> {
 protected:
  support::Trace const trace_;
  support::Gate const gate_;
};
INSTANTIATE_TEST_SUITE_P(, TaskProgress,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(TaskProgress, IsReadWhileTheTaskRuns) {
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = GetParam()}}};
  auto future = pool.with({.label = "steps"}).submit<tells>(7, 20, gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  auto const progress = future.progress();
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->done, 7u);
  EXPECT_EQ(progress->total, 20u);
  EXPECT_EQ(progress->element, 0u);
  EXPECT_EQ(progress->label, "steps");
  auto const workers = pool.worker_stats();
  ASSERT_TRUE(workers[progress->worker].running);
  EXPECT_EQ(workers[progress->worker].running->done, 7u);
  EXPECT_EQ(workers[progress->worker].running->task, progress->task);
  EXPECT_FALSE(workers[1 - progress->worker].running);
  gate_.open();
  future.wait();
  EXPECT_FALSE(future.progress()) << "it runs no more";
  EXPECT_TRUE(support::until([&] { return !pool.worker_stats()[progress->worker].running; }));
  EXPECT_EQ(future.get(), 7);
  EXPECT_THROW(static_cast<void>(future.progress()), std::logic_error);
}

TEST_P(TaskProgress, OfTheElementBeforeIsNotThatOfTheNext) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  support::Gate const open;
  open.open();
  pool.call<tells>(9, 9, open.path());
  auto future = pool.submit<tells_nothing>(gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 2; }));
  auto const progress = future.progress();
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->done, 0u);
  EXPECT_FALSE(progress->total);
  gate_.open();
  future.get();
}

TEST_P(TaskProgress, ComesFromThreadsOfTheTaskToo) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  auto future = pool.submit<tells_from_a_thread>(gate_.path());
  ASSERT_TRUE(support::until([&] { return trace_.size() == 1; }));
  ASSERT_TRUE(future.progress());
  EXPECT_EQ(future.progress()->done, 3u);
  EXPECT_EQ(future.progress()->total, 4u);
  gate_.open();
  future.get();
}

TEST_P(TaskProgress, OfAMapIsOfEachElementThatRuns) {
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = GetParam()}}};
  std::vector<int> const done{1, 2};
  std::vector<int> const total{0, 4};
  std::vector<std::string> const gates(2, gate_.path());
  auto results = pool.with({.chunk = 1}).map_async<tells>(done, total, gates);
  ASSERT_TRUE(support::until([&] { return trace_.size() == 2; }));
  auto progress = results.progress();
  std::ranges::sort(progress, {}, &procpool::RunningElement::element);
  ASSERT_EQ(progress.size(), 2u);
  EXPECT_EQ(progress[0].element, 0u);
  EXPECT_EQ(progress[0].done, 1u);
  EXPECT_FALSE(progress[0].total) << "0: not known";
  EXPECT_EQ(progress[1].element, 1u);
  EXPECT_EQ(progress[1].total, 4u);
  gate_.open();
  results.get();
}

// A number that was read belongs to its element, whenever it is read.
TEST_P(TaskProgress, GrowsAsItIsRead) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  auto future = pool.submit<goes_on>(gate_.path());
  std::uint64_t last = 0;
  int grown = 0;
  EXPECT_TRUE(support::until([&] {
    auto const progress = future.progress();
    if (!progress) return false;
    EXPECT_GE(progress->done, last);
    grown += progress->done > last ? 1 : 0;
    last = progress->done;
    return grown >= 100;
  }));
  gate_.open();
  future.get();
}

TEST(ThisTaskProgress, HasNoEffectOutsideOfATask) { procpool::this_task::progress(1, 2); }

int tells_in_process() {
  procpool::this_task::progress(1, 2);
  return 5;
}

TEST(ThisTaskProgress, HasNoEffectInProcess) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = procpool::Start::in_process}}};
  auto future = pool.submit<tells_in_process>();
  EXPECT_FALSE(future.progress());
  EXPECT_EQ(future.get(), 5);
}

TEST(ThisTaskProgress, IsNothingOnceThePoolIsGone) {
  auto pool = std::make_unique<procpool::ProcessPool>(1);
  auto future = pool->submit<square>(3);
  pool.reset();
  EXPECT_FALSE(future.progress());
  EXPECT_EQ(future.get(), 9);
}

}  // namespace
}  // namespace task_progress_test
