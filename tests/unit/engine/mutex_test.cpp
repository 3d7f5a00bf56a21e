// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Mutex, Lock and Condition, of both kinds of mutex: a waiter that spins ends like one that sleeps.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::detail {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Plain {
  Mutex mutex;
  Condition changed;
  int count PROCPOOL_GUARDED_BY(mutex) = 0;
};

struct Adaptive {
  Mutex mutex{Mutex::Adaptive()};
  Condition changed;
  int count PROCPOOL_GUARDED_BY(mutex) = 0;
};

template <class Counter>
class EngineMutex : public testing::Test {
 protected:
  Counter counter_;
};
using Kinds = testing::Types<Plain, Adaptive>;
TYPED_TEST_SUITE(EngineMutex, Kinds);

TYPED_TEST(EngineMutex, Excludes) {
  constexpr int each = 20'000;
  auto& counter = this->counter_;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        Lock const lock(counter.mutex);
        ++counter.count;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  Lock const lock(counter.mutex);
  EXPECT_EQ(counter.count, 4 * each);
}

TYPED_TEST(EngineMutex, IsTakenUntilItIsReleased) {
  auto& counter = this->counter_;
  Lock lock(counter.mutex);
  std::atomic<bool> entered{false};
  std::thread other([&] {
    bool const free = counter.mutex.try_lock();
    EXPECT_FALSE(free);
    if (free) counter.mutex.unlock();
    Lock const late(counter.mutex);
    entered = true;
  });
  // Until the thread sleeps: no spin lasts that long.
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(entered);
  lock.unlock();
  other.join();
  EXPECT_TRUE(entered);
  lock.lock();
}

TYPED_TEST(EngineMutex, ALockTakesOverFromTryLock) {
  auto& counter = this->counter_;
  for (int time = 0; time < 2; ++time) {  // the first lock has released the mutex
    if (!counter.mutex.try_lock()) FAIL();
    Lock const lock(counter.mutex, Lock::Adopt());
    ++counter.count;
  }
}

TYPED_TEST(EngineMutex, AWaiterIsWokenByANotification) {
  auto& counter = this->counter_;
  std::thread other([&] {
    Lock const lock(counter.mutex);
    ++counter.count;
    counter.changed.notify_all();
  });
  Lock lock(counter.mutex);
  while (counter.count == 0) counter.changed.wait(lock);
  EXPECT_EQ(counter.count, 1);
  lock.unlock();
  other.join();
  lock.lock();
}

TYPED_TEST(EngineMutex, AWaitEndsAtItsDeadline) {
  auto& counter = this->counter_;
  Lock lock(counter.mutex);
  EXPECT_FALSE(counter.changed.wait_until(lock, TimePoint::min()));
  auto const end = Clock::now() + 20ms;
  while (counter.changed.wait_until(lock, end)) {
  }
  EXPECT_GE(Clock::now(), end);
}

TYPED_TEST(EngineMutex, AnEndlessWaitIsWoken) {
  auto& counter = this->counter_;
  std::thread other([&] {
    Lock const lock(counter.mutex);
    ++counter.count;
    counter.changed.notify_one();
  });
  Lock lock(counter.mutex);
  while (counter.count == 0) EXPECT_TRUE(counter.changed.wait_until(lock, TimePoint::max()));
  lock.unlock();
  other.join();
  lock.lock();
}

}  // namespace
}  // namespace procpool::detail
