// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// OutputOptions::mode: what tasks print is inherited, dropped, or captured by element.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Output;

int prints(int x) {
  std::cout << "cout " << x << '\n';
  std::printf("printf %d", x);  // no end of line, not flushed
  std::cerr << " cerr " << x << std::endl;
  return x;
}
int says_nothing(int x) { return x; }
int prints_without_an_end(int x) {
  std::printf("no end of line, not flushed");
  return x;
}
int prints_odd(int x) {
  if (x % 2 == 1) std::cout << "odd " << x << "\n";
  return x;
}
int prints_and_throws(int x) {
  prints(x);
  throw std::runtime_error("after printing");
}
int prints_and_dies(int x) {
  prints(x);
  std::fflush(stdout);
  ::raise(SIGKILL);
  return x;
}
int prints_and_hangs(int x) {
  std::cout << "hanging " << x << std::endl;
  support::Trace::note(x);
  std::this_thread::sleep_for(10min);
  return x;
}
int floods(int megabytes) {
  std::string const line = std::string(1023, 'f') + "\n";
  for (int i = 0; i < megabytes * 1024; ++i) std::fwrite(line.data(), 1, line.size(), stdout);
  std::puts("the end");
  return megabytes;
}
int echoes_by_a_child(int x) { return std::system(("echo child " + std::to_string(x)).c_str()); }
// Something of its own that goes on: it writes after the task has ended.
int leaves_a_writer(int x) {
  std::printf("begin %d\n", x);
  std::fflush(stdout);
  return std::system("setsid sh -c 'sleep 0.3; echo late; sleep 0.3; echo later' & echo mine");
}
int takes_its_time(int x) {
  std::printf("plain %d\n", x);
  std::this_thread::sleep_for(500ms);
  std::printf("end\n");
  return x;
}
int worker_after_children(int x) {
  // A child that has ended, and a child that writes elsewhere and lives on.
  static_cast<void>(std::system("echo child"));
  static_cast<void>(std::system("exec >/dev/null 2>&1; sleep 1 &"));
  std::printf("own %d\n", x);
  return ::getpid();
}
int fails_first(int x) {
  support::Trace::note(x);
  std::cout << "attempt " << support::Trace::seen(x) << "\n";
  if (support::Trace::seen(x) == 1) {
    std::cout.flush();
    ::raise(SIGKILL);
  }
  return x;
}
int lines_from_threads(int) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i) {
        std::printf("%s\n", std::string(60, static_cast<char>('a' + t)).c_str());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return 0;
}

procpool::PoolOptions with_output(Output output, int workers = 2) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.output.mode = output;
  return options;
}

std::string printed(int x) {
  std::string const n = std::to_string(x);
  return "cout " + n + "\nprintf " + n + " cerr " + n + "\n";
}

TEST(CapturedOutput, IsTheElements) {
  procpool::ProcessPool pool{with_output(Output::capture)};
  auto future = pool.submit<prints>(7);
  EXPECT_EQ(future.output(), printed(7));
  EXPECT_EQ(future.get(), 7);
  EXPECT_EQ(pool.submit<says_nothing>(1).output(), "");
  EXPECT_EQ(pool.submit<prints_without_an_end>(1).output(), "no end of line, not flushed");
  for (int const chunk : {1, 7, 100}) {
    auto const outcomes =
        pool.with({.chunk = chunk}).outcomes().map<prints>(std::views::iota(0, 100));
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].output(), printed(i)) << "chunk " << chunk;
    }
  }
  auto results = pool.map_async<prints_odd>(std::views::iota(0, 100));
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(results.output(i), i % 2 == 1 ? "odd " + std::to_string(i) + "\n" : "");
  }
}

// A worker that cannot be told apart from what a task has left behind begins no other element.
TEST(CapturedOutput, OfWhatATaskLeftBehindIsNobodys) {
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    for (bool const hardened : {false, true}) {
      procpool::PoolOptions options = with_output(Output::capture, 1);
      options.start.method = start;
      options.harden = hardened;
      procpool::ProcessPool pool{options};
      auto first = pool.submit<leaves_a_writer>(1);
      auto second = pool.submit<takes_its_time>(2);
      EXPECT_EQ(first.output(), "begin 1\nmine\n");
      EXPECT_EQ(second.output(), "plain 2\nend\n");
      EXPECT_EQ(second.get(), 2);
      EXPECT_EQ(pool.stats().workers_recycled, 1u);
      EXPECT_EQ(pool.stats().worker_deaths, 0u);
    }
  }
}

TEST(CapturedOutput, ChildrenThatCannotWriteThereCostNoWorker) {
  procpool::ProcessPool pool{with_output(Output::capture, 1)};
  auto const pid = pool.call<worker_after_children>(0);
  for (int i = 1; i < 20; ++i) {
    auto future = pool.submit<worker_after_children>(i);
    EXPECT_EQ(future.output(), "child\nown " + std::to_string(i) + "\n");
    EXPECT_EQ(future.get(), pid);
  }
  EXPECT_EQ(pool.stats().workers_recycled, 0u);
}

TEST(CapturedOutput, IsKeptWhenTheTaskFails) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_output(Output::capture)};
  auto thrown = pool.submit<prints_and_throws>(1);
  EXPECT_EQ(thrown.output(), printed(1));
  EXPECT_THROW(thrown.get(), std::runtime_error);
  auto dead = pool.submit<prints_and_dies>(2);
  EXPECT_EQ(dead.output(), printed(2));
  EXPECT_THROW(dead.get(), procpool::WorkerDied);
  auto late = pool.with({.timeout = 300ms}).submit<prints_and_hangs>(3);
  EXPECT_EQ(late.output(), "hanging 3\n");
  EXPECT_THROW(late.get(), procpool::TaskTimeout);
  auto cancelled = pool.submit<prints_and_hangs>(4);
  ASSERT_TRUE(support::until([&] { return trace.counts()[4] == 1; }));
  cancelled.cancel();
  EXPECT_EQ(cancelled.output(), "hanging 4\n");
  auto const outcomes = pool.outcomes().map<prints_and_dies>(std::views::iota(0, 6));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].output(), printed(i));
  }
}

TEST(CapturedOutput, OfEachAttempt) {
  support::Trace const trace;
  procpool::ProcessPool pool{with_output(Output::capture)};
  auto future = pool.with({.retries = {.times = 1}}).submit<fails_first>(5);
  EXPECT_EQ(future.output(), "attempt 1\nattempt 2\n");
  EXPECT_EQ(future.get(), 5);
}

TEST(CapturedOutput, OfWhatTheTaskStarts) {
  procpool::ProcessPool pool{with_output(Output::capture)};
  EXPECT_EQ(pool.submit<echoes_by_a_child>(3).output(), "child 3\n");
}

TEST(CapturedOutput, LinesAreWhole) {
  procpool::ProcessPool pool{with_output(Output::capture)};
  auto future = pool.submit<lines_from_threads>(0);
  std::istringstream lines(future.output());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(line, std::string(60, line.empty() ? '?' : line[0]));
  }
  EXPECT_EQ(count, 400);
}

// Nobody reads it: the task ends all the same, and its end is what is kept.
TEST(CapturedOutput, AFloodNeitherBlocksNorFillsTheMemory) {
  auto options = with_output(Output::capture);
  options.output.limit = 10'000;
  procpool::ProcessPool pool{options};
  int const megabytes = support::rounds(100, 10);
  auto const peak = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;  // KiB
  };
  long const before = peak();
  auto future = pool.submit<floods>(megabytes);
  EXPECT_EQ(pool.call<says_nothing>(1), 1);  // nobody else waits for it either
  std::string const kept = future.output();
  EXPECT_LE(kept.size(), 10'100u);
  EXPECT_TRUE(kept.ends_with("f\nthe end\n"));
  EXPECT_TRUE(kept.starts_with("[")) << kept.substr(0, 60);
  EXPECT_NE(kept.find("bytes before this are not kept]\n"), std::string::npos);
  EXPECT_EQ(future.get(), megabytes);
  if (!support::sanitized) {
    EXPECT_LT(peak(), before + 20 * 1024);
  }
}

TEST(CapturedOutput, OfStreamsAndOfHandlersIsNobodys) {
  auto options = with_output(Output::capture);
  options.start.initializer = procpool::bound([] { std::puts("hello from the initializer"); });
  procpool::ProcessPool pool{options};
  int expected = 0;
  for (int const result : pool.imap<prints>(std::views::iota(0, 50))) {
    EXPECT_EQ(result, expected++);
  }
  EXPECT_EQ(pool.submit<prints>(1).output(), printed(1));
}

// In the test's own process they would be seen; in a pool of a pool they can be.
std::string output_of_a_pool_within(Output output) {
  procpool::ProcessPool outer{with_output(Output::capture, 1)};
  auto future = outer.submit(
      [](int how) {
        procpool::ProcessPool inner{with_output(static_cast<Output>(how), 1)};
        return inner.call<prints>(9);
      },
      static_cast<int>(output));
  return future.output();
}

TEST(InheritedOutput, GoesWhereTheProgramsGoes) {
  EXPECT_EQ(output_of_a_pool_within(Output::inherit), printed(9));
}

TEST(DroppedOutput, IsGone) {
  EXPECT_EQ(output_of_a_pool_within(Output::drop), "");
  procpool::ProcessPool pool{with_output(Output::drop)};
  auto future = pool.submit<prints>(1);
  EXPECT_EQ(future.output(), "");
  EXPECT_EQ(future.get(), 1);
}

TEST(CapturedOutput, LeavesNoDescriptorBehind) {
  auto const count = [] {
    int open = 0;
    for (int fd = 0; fd < 256; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  {
    procpool::ProcessPool pool{with_output(Output::capture)};
    pool.call<prints>(1);
  }
  int const before = count();
  for (int i = 0; i < 5; ++i) {
    procpool::ProcessPool pool{with_output(Output::capture)};
    pool.call<prints>(1);
    EXPECT_THROW(pool.call<prints_and_dies>(1), procpool::WorkerDied);
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
