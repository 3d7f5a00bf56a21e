// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// CallOptions::label: in `ps`, in the texts of all errors, in the log, and nowhere else.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/gate.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace label_test {
namespace {

using namespace std::chrono_literals;

using tasks::fail;
using tasks::hang;
using tasks::square;
using tasks::waits_at;
using tasks::who;
int killed(int signal) { return ::raise(signal); }

std::string command_line(pid_t pid) {
  std::string text = support::read_text(support::proc(pid, "cmdline"));
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  return text;
}

class Labels : public testing::TestWithParam<procpool::Start> {};
INSTANTIATE_TEST_SUITE_P(, Labels,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(Labels, AreShownWhileTheyRun) {
  support::Trace const trace;
  procpool::ProcessPool pool{{.workers = 1, .name = "p", .start = {.method = GetParam()}}};
  pid_t const worker = pool.call<&who>();
  auto const shown = [&](procpool::CallOptions const& options, std::string const& title) {
    std::size_t const before = trace.size();
    support::Gate const gate;
    auto future = pool.with(options).submit<waits_at>(gate.path());
    ASSERT_TRUE(support::until([&] { return trace.size() == before + 1; }));
    EXPECT_NE(command_line(worker).find("[p/0] " + title + "  "), std::string::npos)
        << command_line(worker);
    gate.open();
    future.get();
  };
  shown({}, "tasks::waits_at");
  shown({.label = "parse"}, "parse: tasks::waits_at");
  shown({.label = "render"}, "render: tasks::waits_at");
  shown({}, "tasks::waits_at");
  shown({.label = "parse"}, "parse: tasks::waits_at");
  EXPECT_EQ(pool.call<&who>(), worker);
}

template <class Body>
std::string text_of(Body body) {
  try {
    body();
  } catch (...) {
    return procpool::describe(std::current_exception());
  }
  return "nothing was thrown";
}

void expect_named(std::string const& text) {
  EXPECT_NE(text.find(" \"parse\""), std::string::npos) << text;
}

TEST(Label, IsInTheTextsOfErrors) {
  support::Trace const trace;
  procpool::ProcessPool pool{{.workers = 1, .log = [](std::string_view) {}}};
  auto view = pool.with({.label = "parse"});
  expect_named(text_of([&] { view.call<killed>(SIGKILL); }));
  expect_named(text_of([&] { view.call<fail>(1); }));
  expect_named(text_of([&] { pool.with({.timeout = 10ms, .label = "parse"}).call<hang>(1); }));
  expect_named(text_of([&] {
    auto future = view.submit<hang>(1);
    EXPECT_TRUE(support::until([&] { return trace.size() == 2; }));
    future.cancel();
    future.get();
  }));
  auto blocker = pool.submit<hang>(1);
  expect_named(
      text_of([&] { pool.with({.queue_timeout = 10ms, .label = "parse"}).call<square>(1); }));
  expect_named(text_of([&] {
    auto future = view.submit<square>(1);
    future.cancel();
    future.get();
  }));
  blocker.cancel();
  try {
    view.call<killed>(SIGKILL);
    FAIL();
  } catch (procpool::WorkerDied const& died) {
    EXPECT_EQ(died.label(), "parse");
  }
  try {
    view.call<fail>(1);
    FAIL();
  } catch (procpool::Origin const& origin) {
    EXPECT_EQ(origin.label, "parse");
  }
}

TEST(Label, OfThePoolIsThatOfAllItsCalls) {
  procpool::PoolOptions options{.workers = 1, .log = [](std::string_view) {}};
  options.defaults.label = "parse";
  procpool::ProcessPool pool{options};
  expect_named(text_of([&] { pool.call<killed>(SIGKILL); }));
  std::string const other = text_of([&] { pool.with({.label = "render"}).call<killed>(SIGKILL); });
  EXPECT_NE(other.find("\"render\""), std::string::npos) << other;
  EXPECT_EQ(other.find("\"parse\""), std::string::npos) << other;
}

TEST(Label, IsInTheLogOfDroppedErrors) {
  std::mutex mutex;
  std::string log;
  {
    procpool::ProcessPool pool{{.workers = 1, .log = [&](std::string_view line) {
                                  std::lock_guard const lock(mutex);
                                  log += line;
                                }}};
    static_cast<void>(pool.with({.label = "parse"}).submit<fail>(1));
  }
  EXPECT_NE(log.find("nobody has looked at its error: task "), std::string::npos) << log;
  expect_named(log);
}

TEST(Label, MustBeFitForALine) {
  procpool::ProcessPool pool{1};
  for (std::string const& bad : {std::string(), std::string(256, 'x'), std::string("two\nlines")}) {
    EXPECT_THROW(static_cast<void>(pool.with({.label = bad})), std::invalid_argument) << bad;
    procpool::PoolOptions options;
    options.defaults.label = bad;
    EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
  }
  EXPECT_EQ(pool.with({.label = std::string(255, 'x')}).call<square>(3), 9);
}

// More labels than a worker knows functions.
TEST(Label, MayBeAnotherForEachCall) {
  procpool::ProcessPool pool{2};
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 300; ++i) {
    futures.push_back(pool.with({.label = "job " + std::to_string(i)}).submit<square>(i));
  }
  for (int i = 0; i < 300; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i * i);
  EXPECT_EQ(pool.stats().worker_starts, 2u);
}

}  // namespace
}  // namespace label_test
