// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Nothing is left of a pool: no process, thread, descriptor, mapping or name.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <procpool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/descriptors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using tasks::square;

void use_a_pool(int i) {
  procpool::ProcessPool pool{2};
  auto first = pool.submit<square>(i);
  auto second = pool.submit<square>(i + 1);
  EXPECT_EQ(first.get(), i * i);
  EXPECT_EQ(second.get(), (i + 1) * (i + 1));
}

void use_a_pool_badly(int i) {
  procpool::ProcessPool pool{2};
  auto large =
      pool.submit([](std::size_t size) { return std::string(size, 'l'); }, std::size_t{200'000});
  auto crash = pool.submit([] { ::raise(SIGKILL); });
  EXPECT_EQ(large.get().size(), 200'000u);
  EXPECT_THROW(crash.get(), procpool::WorkerDied);
  auto const never = pool.submit([] { ::pause(); });
  if (i % 2 == 0) {
    pool.terminate();
  } else {
    pool.shutdown(procpool::End::drain, std::chrono::milliseconds(5));
  }
}

struct Counter {
  int count = 0;
  int add(procpool::SharedArray<int const> const& numbers) { return count += numbers[0] + 1; }
};

// Tasks and an actor have handles of all kinds when they are killed.
void use_handles_badly(int i) {
  procpool::ProcessPool pool{2};
  procpool::Queue<int> const items;
  procpool::Queue<procpool::SharedArray<int>> const arrays;
  procpool::SharedArray<int> const numbers(1'000);
  auto [here, there] = procpool::make_pipe<std::string>();
  auto const takes = pool.submit(
      [](procpool::Queue<int> const& queue) {
        while (queue.pop()) {
        }
      },
      items);
  auto const receives = pool.submit(
      [](procpool::PipeEnd<std::string> end) {
        while (end.receive()) {
        }
      },
      std::move(there));
  auto actor = pool.actor<Counter>();
  EXPECT_EQ(actor.call<&Counter::add>(numbers).get(), 1);
  items.push(i);
  arrays.push(numbers);
  here.send("text");
  if (i % 2 == 0) {
    pool.terminate();
  } else {
    pool.shutdown(procpool::End::drain, std::chrono::milliseconds(5));
  }
}

// Once the threads have ended that close descriptors which may block. The background thread of a
// sanitizer may come late.
support::Resources resources_without_threads() {
  std::size_t const most = support::sanitized ? 2 : 1;
  EXPECT_TRUE(support::until([&] { return support::threads_of(::getpid()) <= most; }));
  return support::open_resources();
}

template <class Use>
void expect_nothing_left(int pools, Use use) {
  for (int i = 0; i < 10; ++i) use(i);  // what is made once and kept
  auto const names = support::shared_memory_names();
  support::Resources const before = resources_without_threads();
  for (int i = 0; i < pools; ++i) use(i);
  support::Resources const after = resources_without_threads();
  // A leak would be one per pool. Beside the thread of a sanitizer one that closes may still be there.
  constexpr std::size_t more = support::sanitized ? 1 : 0;
  EXPECT_LE(after.descriptors, before.descriptors + more);
  EXPECT_GE(after.descriptors + more, before.descriptors);
  // The heaps of the allocator come and go with threads; a mapping per pool would be 200.
  // A sanitizer maps memory of its own for each.
  EXPECT_LE(after.mappings, before.mappings + (support::sanitized ? 50 : 12));
  EXPECT_EQ(after.children, 0u);
  EXPECT_TRUE(support::no_names_but(names));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace

TEST(Leftovers, NoneOf200Pools) { expect_nothing_left(support::rounds(200, 20), use_a_pool); }

TEST(Leftovers, NoneOf100PoolsThatEndBadly) {
  expect_nothing_left(support::rounds(100, 10), use_a_pool_badly);
}

TEST(Leftovers, NoneOf50PoolsThatEndBadlyWithHandles) {
  expect_nothing_left(support::rounds(50, 10), use_handles_badly);
}

// Nor of workers within one pool.
TEST(Leftovers, NoneOf100DeadWorkers) {
  procpool::ProcessPool pool{1};
  auto const die = [] { ::raise(SIGKILL); };
  for (int i = 0; i < 5; ++i) EXPECT_THROW(pool.call(die), procpool::WorkerDied);
  EXPECT_EQ(pool.call<square>(2), 4);
  support::Resources const before = support::open_resources();
  for (int i = 0; i < support::rounds(100, 20); ++i) {
    EXPECT_THROW(pool.call(die), procpool::WorkerDied);
  }
  EXPECT_EQ(pool.call<square>(3), 9);
  support::Resources const after = support::open_resources();
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_LE(after.mappings, before.mappings + 6);
  EXPECT_EQ(after.children, 1u);
}

// Nor of messages in one worker.
TEST(Leftovers, NoneOf300LargeMessages) {
  procpool::ProcessPool pool{1};
  auto const echo = [](std::string text) { return text; };
  auto const resources_of_worker = [&] {
    pid_t const pid = pool.call([] { return ::getpid(); });
    return std::pair(support::descriptors_of(pid).size(), support::mappings_of(pid).size());
  };
  std::string const text(100'000, 'm');
  for (int i = 0; i < 20; ++i) pool.call(echo, text);
  support::Resources const before = support::open_resources();
  auto const [worker_descriptors, worker_mappings] = resources_of_worker();
  for (int i = 0; i < 300; ++i) EXPECT_EQ(pool.call(echo, text), text);
  support::Resources const after = support::open_resources();
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_LE(after.mappings, before.mappings + 6);
  auto const [descriptors_then, mappings_then] = resources_of_worker();
  EXPECT_LE(descriptors_then, worker_descriptors + 4);  // results that are on their way
  EXPECT_LE(mappings_then, worker_mappings + 6);
}

// What an argument names is let go before its outcome is seen.
TEST(Leftovers, NoneOf300SharedArrays) {
  procpool::ProcessPool pool{1};
  auto const first_of = [](procpool::SharedArray<int const> const& values) { return values[0]; };
  auto const send_one = [&] {
    EXPECT_EQ(pool.call(first_of, procpool::SharedArray<int const>(procpool::SharedArray<int>(9))),
              0);
  };
  for (int i = 0; i < 20; ++i) send_one();
  support::Resources const before = support::open_resources();
  for (int i = 0; i < 300; ++i) {
    send_one();
    EXPECT_EQ(support::open_resources().descriptors, before.descriptors);
  }
}

TEST(Leftovers, RefusedSubmitsLeaveNone) {
  procpool::ProcessPool pool{1};
  pool.call<square>(1);
  pool.close();
  support::Resources const before = support::open_resources();
  for (int i = 0; i < 100; ++i) {
    EXPECT_THROW(static_cast<void>(pool.submit<square>(i)), procpool::PoolClosed);
  }
  EXPECT_EQ(support::open_resources().descriptors, before.descriptors);
}
