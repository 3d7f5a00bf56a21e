// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers that will never do anything again, and do not end by themselves: their locks are held for
// ever, they have begun to leave and do not get there, they have damaged what they live from. Each
// ends within seconds. And who only looks like one of these does not.

#include <gtest/gtest.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::Start;
using procpool::WorkerDied;

namespace {

constexpr auto mute_patience = 30s;

using tasks::square;

std::mutex mutex;

int lock_twice(int) {
  ::pthread_mutex_t* const native = mutex.native_handle();
  ::pthread_mutex_lock(native);
  ::pthread_mutex_lock(native);
  return 0;
}
// Its threads wait for it, and it waits for them.
int lock_in_threads(int) {
  mutex.lock();
  std::jthread const other([] { std::lock_guard const lock(mutex); });
  std::mutex own;
  own.lock();
  ::pthread_mutex_lock(own.native_handle());
  return 0;
}
int exit_and_lock(int) {
  std::atexit([] { lock_twice(0); });
  std::exit(3);
}
int exit_and_spin(int) {
  std::atexit([] {
    int volatile on = 1;
    while (on == 1) {
    }
  });
  std::exit(3);
}

// ---- those that only look so

// Another thread has the lock, and gives it back later.
int wait_for_a_thread(int x) {
  mutex.lock();
  std::jthread const other([] {
    std::this_thread::sleep_for(4s);
    mutex.unlock();
  });
  ::pthread_mutex_lock(mutex.native_handle());
  mutex.unlock();
  return x;
}

sem_t rung;

// A signal's handler does what another thread would.
int wait_for_an_alarm(int x) {
  ::sem_init(&rung, 0, 0);
  struct sigaction action{};
  action.sa_handler = [](int) { ::sem_post(&rung); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  itimerval const later{{0, 0}, {4, 0}};
  ::setitimer(ITIMER_REAL, &later, nullptr);
  while (::sem_wait(&rung) != 0) {
  }
  return x;
}
int wait_for_time(int x) {
  std::this_thread::sleep_for(4s);
  return x;
}
int spin_for_long(int x) {
  auto const end = std::chrono::steady_clock::now() + 4s;
  while (std::chrono::steady_clock::now() < end) {
  }
  return x;
}

WorkerDied death_of_mute(procpool::ProcessPool& pool, procpool::Future<int>& future) {
  if (!future.wait_for(mute_patience)) {
    pool.terminate();
    throw std::logic_error("it is not over");
  }
  return support::thrown_by<WorkerDied>([&] { future.get(); });
}

// ---- damage

struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

// All writable memory, except for the stack on which this runs.
std::vector<Mapping> writable_mappings() {
  std::vector<Mapping> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    std::array<char, 5> rights{};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights.data()) != 3) continue;
    auto const here = reinterpret_cast<std::uintptr_t>(&begin);
    if (rights[1] == 'w' && (here < begin || here >= end)) found.push_back({begin, end});
  }
  return found;
}

enum class Damage { protect, unmap, clear, fill };
constexpr int max_mappings = 64;

// The whole of a mapping; then it goes on as if nothing had happened.
int damage(Damage how, bool crash, int which) {
  auto const mappings = writable_mappings();
  if (which >= static_cast<int>(mappings.size())) return -1;
  auto const [begin, end] = mappings[static_cast<std::size_t>(which)];
  std::size_t const size = end - begin;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it is one
  auto* const at = reinterpret_cast<char volatile*>(begin);
  switch (how) {
    case Damage::protect: ::syscall(SYS_mprotect, begin, size, PROT_NONE); break;
    case Damage::unmap: ::syscall(SYS_munmap, begin, size); break;
    case Damage::clear:
      for (std::size_t i = 0; i < size; ++i) at[i] = 0;
      break;
    case Damage::fill:
      for (std::size_t i = 0; i < size; ++i) at[i] = static_cast<char>(0xa5);
      break;
  }
  if (crash) *reinterpret_cast<int volatile*>(std::uintptr_t{8}) = 1;
  return which;
}

char volatile variable_of_the_program = 1;
char const constant_of_the_program[] = "it is never changed";

// All that the program itself can write to, or what it can only read as well, is gone, what the
// handler of crashes needs as well; and its stack ends somewhere else each time. Whatever is the
// first thing that does not fit there, nothing begins anew.
int crash_with_nothing_left(std::size_t stack_size, bool constants) {
  constexpr std::size_t page = 4096;
  constexpr std::size_t most = 128 * 1024;
  auto* const memory = static_cast<char*>(
      ::mmap(nullptr, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::mprotect(memory, page, PROT_NONE);
  stack_t for_handlers{};
  for_handlers.ss_sp = memory + page;
  for_handlers.ss_size = stack_size;
  ::sigaltstack(&for_handlers, nullptr);
  auto const here = (constants ? reinterpret_cast<std::uintptr_t>(constant_of_the_program)
                               : reinterpret_cast<std::uintptr_t>(&variable_of_the_program)) &
                    ~(page - 1);
  for (std::uintptr_t at = here; ::syscall(SYS_mprotect, at, page, PROT_NONE) == 0; at += page) {
  }
  *reinterpret_cast<int volatile*>(std::uintptr_t{8}) = 1;
  return 0;
}

}  // namespace

TEST(Mute, NobodyIsWhoseHandlerOfCrashesHasNothingLeft) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer has handlers of its own";
  procpool::ProcessPool pool{{.workers = 2, .output = {.mode = procpool::Output::drop}}};
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < 96; ++i) sizes.push_back(48 * 1024 + i * 64);
  for (bool const constants : {false, true}) {
    auto results = pool.with({.chunk = 1, .on_error = procpool::OnError::collect})
                       .map_async(procpool::bind_back(crash_with_nothing_left, constants), sizes);
    bool const over = results.wait_for(mute_patience);
    EXPECT_TRUE(over) << results.done() << " of " << sizes.size();
    if (!over) return static_cast<void>(pool.terminate());
  }
  EXPECT_EQ(pool.stats().worker_deaths, 2 * sizes.size());
}

TEST(Mute, WhoWaitsForALockOfItsOwnEndsAndSaysSo) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer's threads and locks are not these";
  for (Start const start : {Start::spawn, Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 3;
    options.start.method = start;
    procpool::ProcessPool pool{options};
    std::vector<procpool::Future<int>> futures;
    for (auto* const task : {&lock_twice, &lock_in_threads, &exit_and_lock}) {
      futures.push_back(pool.submit(task, 1));
    }
    for (auto& future : futures) {
      EXPECT_TRUE(support::says(death_of_mute(pool, future),
                                "waited for a lock that none of them was left to release"));
    }
    EXPECT_EQ(pool.call(square, 7), 49);
  }
}

TEST(Mute, WhoDoesNotComeToTheEndOfExitEndsAndSaysSo) {
  procpool::ProcessPool pool{{.workers = 1, .shutdown = {.stop_grace = 500ms}}};
  auto future = pool.submit(exit_and_spin, 1);
  EXPECT_TRUE(support::says(death_of_mute(pool, future), "in the middle of exit()"));
  EXPECT_EQ(pool.call(square, 7), 49);
}

TEST(Mute, WhoWillGoOnIsWaitedFor) {
  procpool::ProcessPool pool{5};
  std::vector<procpool::Future<int>> futures;
  for (auto* const task :
       {&wait_for_a_thread, &wait_for_an_alarm, &wait_for_time, &spin_for_long}) {
    futures.push_back(pool.submit(task, 4));
  }
  for (auto& future : futures) EXPECT_EQ(future.get(), 4);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

// Of every mapping of a worker, whole, in every way. Whatever that does to it, it says something or
// is gone.
TEST(Mute, NobodyIsWhoHasDamagedHisMemory) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer's shadow is among it";
  for (bool const crash : {false, true}) {
    for (Damage const how : {Damage::protect, Damage::unmap, Damage::clear, Damage::fill}) {
      SCOPED_TRACE(static_cast<int>(how));
      procpool::ProcessPool pool{{.workers = 2, .output = {.mode = procpool::Output::drop}}};
      auto results = pool.with({.chunk = 1, .on_error = procpool::OnError::collect})
                         .map_async(procpool::bind_front(damage, how, crash),
                                    std::views::iota(0, max_mappings));
      bool const over = results.wait_for(mute_patience);
      EXPECT_TRUE(over) << results.done() << " of " << max_mappings;
      if (!over) pool.terminate();
    }
  }
}
