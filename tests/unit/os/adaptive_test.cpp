// An adaptive mutex is a mutex: also for who waits longer than it spins.

#include "os/adaptive.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace procpool::os {
namespace {

struct Adaptive {
  Adaptive() { make_adaptive(mutex); }
  std::mutex mutex;
};

TEST(OsAdaptive, Excludes) {
  Adaptive adaptive;
  constexpr int each = 20'000;
  int count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        std::lock_guard const lock(adaptive.mutex);
        ++count;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count, 4 * each);
}

TEST(OsAdaptive, IsTakenUntilItIsReleased) {
  Adaptive adaptive;
  std::unique_lock lock(adaptive.mutex);
  std::atomic<bool> entered{false};
  std::thread other([&] {
    EXPECT_FALSE(adaptive.mutex.try_lock());
    std::lock_guard const late(adaptive.mutex);
    entered = true;
  });
  // Until it sleeps: no spin lasts that long.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(entered);
  lock.unlock();
  other.join();
  EXPECT_TRUE(entered);
}

TEST(OsAdaptive, MayBeWaitedWith) {
  Adaptive adaptive;
  std::condition_variable changed;
  bool there = false;
  std::thread other([&] {
    std::lock_guard const lock(adaptive.mutex);
    there = true;
    changed.notify_one();
  });
  std::unique_lock lock(adaptive.mutex);
  changed.wait(lock, [&] { return there; });
  EXPECT_TRUE(there);
  lock.unlock();
  other.join();
}

}  // namespace
}  // namespace procpool::os
