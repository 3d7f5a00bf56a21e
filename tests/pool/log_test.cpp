// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool::log: lines of tasks reach the log of their pool and its events, whatever their worker does.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <mutex>
#include <procpool.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace log_test {
namespace {

using namespace std::chrono_literals;
using procpool::Event;
using procpool::EventKind;
using procpool::LogLevel;

using tasks::square;
int says(int x) {
  procpool::log(LogLevel::warning, "line of " + std::to_string(x));
  return x;
}
int says_and_dies(int x) {
  procpool::log(LogLevel::error, "last words");
  ::raise(SIGKILL);
  return x;
}
int says_much(int lines) {
  for (int i = 0; i < lines; ++i) procpool::log(LogLevel::info, "number " + std::to_string(i));
  return lines;
}
int says_from_threads(int lines) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([t, lines] {
      for (int i = 0; i < lines; ++i) {
        procpool::log(LogLevel::info, "thread " + std::to_string(t) + " " + std::to_string(i) +
                                          " " +
                                          std::string(static_cast<std::size_t>(i % 200), 'x'));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return lines;
}
int says_odd_things(int) {
  procpool::log(LogLevel::debug, "two\nlines \x1b[31m\xff");
  procpool::log(LogLevel::debug, "");
  procpool::log(static_cast<LogLevel>(200), std::string(10'000, 'y'));
  return 1;
}
int says_in_a_fork(int) {
  pid_t const child = ::fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    procpool::log(LogLevel::info, "of a child");
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  procpool::log(LogLevel::info, "of the parent");
  return status;
}

struct Speaker {
  int say() { return says(4); }
};

struct Told {
  procpool::PoolOptions options(procpool::Start start, int workers = 1) {
    procpool::PoolOptions made;
    made.workers = workers;
    made.name = "p";
    made.start.method = start;
    made.log = [this](std::string_view line) {
      std::lock_guard const lock(mutex);
      lines.emplace_back(line);
    };
    made.on_event = [this](Event const& event) {
      if (event.kind != EventKind::task_logged) return;
      std::lock_guard const lock(mutex);
      events.push_back(event);
    };
    return made;
  }
  std::vector<Event> all() {
    std::lock_guard const lock(mutex);
    return events;
  }
  bool has(std::size_t count) {
    return support::until([&] { return all().size() >= count; });
  }
  std::mutex mutex;
  std::vector<Event> events;
  std::vector<std::string> lines;
};

class LogOf : public testing::TestWithParam<procpool::Start> {
 protected:
  Told told_;
};
INSTANTIATE_TEST_SUITE_P(, LogOf,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

TEST_P(LogOf, ATaskHasItsWorkerAndElement) {
  {
    procpool::ProcessPool pool{told_.options(GetParam(), 2)};
    pool.with({.label = "words"}).map<says>(std::vector<int>{0, 10, 20});
  }
  auto events = told_.all();
  ASSERT_EQ(events.size(), 3u) << "the destructor returns after all were told";
  std::ranges::sort(events, {}, [](Event const& event) { return event.element; });
  for (std::size_t i = 0; i < 3; ++i) {
    Event const& event = events[i];
    EXPECT_EQ(event.text, "line of " + std::to_string(10 * i));
    EXPECT_EQ(event.level, LogLevel::warning);
    EXPECT_EQ(event.element, i);
    EXPECT_EQ(event.label, "words");
    EXPECT_EQ(event.pool, "p");
    EXPECT_TRUE(event.worker == 0 || event.worker == 1);
    EXPECT_NE(event.pid, 0);
    EXPECT_EQ(event.missed, 0u);
    std::string const line = "pool \"p\", worker " + std::to_string(event.worker) + " (pid " +
                             std::to_string(event.pid) + "), task " + std::to_string(*event.task) +
                             " \"words\", element " + std::to_string(i) +
                             ": warning: " + event.text;
    EXPECT_EQ(std::ranges::count(told_.lines, line), 1) << line;
  }
}

TEST_P(LogOf, ATaskThatDiesIsThere) {
  procpool::ProcessPool pool{told_.options(GetParam())};
  for (int i = 1; i <= 20; ++i) {
    EXPECT_THROW(pool.call<says_and_dies>(1), procpool::WorkerDied);
    ASSERT_TRUE(told_.has(static_cast<std::size_t>(i)));
    EXPECT_EQ(told_.all().back().text, "last words");
    EXPECT_EQ(told_.all().back().element, 0u);
    ASSERT_TRUE(told_.all().back().task);
  }
}

TEST_P(LogOf, ALongTaskIsReadWhileItRuns) {
  procpool::ProcessPool pool{told_.options(GetParam())};
  pool.call<square>(1);
  auto future = pool.submit<says_much>(1);
  future.wait();
  EXPECT_TRUE(told_.has(1));
}

TEST_P(LogOf, ManyThreadsIsWholeAndInOrder) {
  {
    procpool::ProcessPool pool{told_.options(GetParam(), 2)};
    pool.with({.chunk = 1}).map<says_from_threads>(std::vector<int>{100, 100});
  }
  std::map<std::string, int> next;  // of a thread of an element
  for (Event const& event : told_.all()) {
    std::istringstream words(event.text);
    std::string word;
    int thread = -1;
    int number = -1;
    std::string rest;
    ASSERT_TRUE(words >> word >> thread >> number) << event.text;
    words >> rest;
    EXPECT_EQ(rest, std::string(static_cast<std::size_t>(number % 200), 'x')) << event.text;
    int& expected = next[std::to_string(*event.element) + "/" + std::to_string(thread)];
    EXPECT_EQ(number, expected);
    ++expected;
  }
  EXPECT_EQ(told_.all().size(), 600u);
}

// The callback is held up. Neither the worker nor the pool waits for it for long, and nothing is counted
// twice.
TEST_P(LogOf, AFloodIsBoundedAndCounted) {
  constexpr int many = 5000;
  std::mutex gate;
  std::uint64_t told = 0;
  std::uint64_t missed = 0;
  bool came_through = false;
  {
    auto options = told_.options(GetParam());
    options.log = [](std::string_view) {};
    options.on_event = [&](Event const& event) {
      if (event.kind != EventKind::task_logged) return;
      std::lock_guard const lock(gate);
      ++told;
      missed += event.missed;
      came_through = came_through || event.text == "line of 1";
    };
    procpool::ProcessPool pool{options};
    {
      std::lock_guard const lock(gate);
      EXPECT_EQ(pool.call<says_much>(many), many);
      EXPECT_EQ(pool.call<square>(3), 9);
    }
    ASSERT_TRUE(support::until([&] {
      std::lock_guard const lock(gate);
      return told >= 1024;
    }));
    // Whatever was missed last is told with a line that comes through.
    ASSERT_TRUE(support::until([&] {
      pool.call<says>(1);
      std::this_thread::sleep_for(1ms);
      std::lock_guard const lock(gate);
      return came_through;
    }));
  }
  EXPECT_GT(missed, 0u);
  EXPECT_GE(told + missed, static_cast<std::uint64_t>(many));
  EXPECT_LT(told, static_cast<std::uint64_t>(many)) << "a bounded number waits";
}

TEST_P(LogOf, OddTextsAreMadeFit) {
  {
    procpool::ProcessPool pool{told_.options(GetParam())};
    pool.call<says_odd_things>(1);
  }
  auto const events = told_.all();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].text, "two lines ?[31m?");
  EXPECT_EQ(events[1].text, "");
  EXPECT_EQ(events[2].text, std::string(4096, 'y'));
  EXPECT_EQ(events[2].level, LogLevel::error);
}

TEST_P(LogOf, AForkedChildIsNotTakenForItsTask) {
  {
    procpool::ProcessPool pool{told_.options(GetParam())};
    pool.call<says_in_a_fork>(1);
  }
  ASSERT_EQ(told_.all().size(), 1u);
  EXPECT_EQ(told_.all()[0].text, "of the parent");
}

TEST_P(LogOf, AnActorAndAnInitializerToo) {
  {
    auto options = told_.options(GetParam());
    options.start.initializer = procpool::bound<says>(7);
    procpool::ProcessPool pool{options};
    pool.call<square>(1);
    auto actor = pool.actor<Speaker>(procpool::ActorOptions{.name = "speaker"});
    EXPECT_EQ(actor.call<&Speaker::say>().get(), 4);
  }
  auto const events = told_.all();
  auto const of = [&](std::string const& text, std::string const& pool) {
    return std::ranges::count_if(
        events, [&](Event const& event) { return event.text == text && event.pool == pool; });
  };
  EXPECT_EQ(of("line of 7", "p"), 1);
  EXPECT_EQ(of("line of 4", "p/speaker"), 1);
}

TEST(LogInProcess, IsTheSame) {
  Told told;
  {
    procpool::ProcessPool pool{told.options(procpool::Start::in_process)};
    pool.map<says>(std::vector<int>{5, 6});
  }
  auto const events = told.all();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].text, "line of 6");
  EXPECT_EQ(events[1].element, 1u);
}

TEST(LogOutsideOfATask, GoesToStandardError) {
  testing::internal::CaptureStderr();
  procpool::log(LogLevel::info, "nobody's");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "procpool: info: nobody's\n");
}

TEST(LogWithoutCallbacks, GoesToStandardError) {
  testing::internal::CaptureStderr();
  {
    procpool::ProcessPool pool{1};
    pool.call<says>(3);
  }
  std::string const text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find(": warning: line of 3\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace log_test
