// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The lock between processes, one of which dies or stops at each step.

#include "support/observed.hpp"  // first

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <random>
#include <vector>

#include "os/mapping.hpp"
#include "os/process_lock.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"

namespace procpool::os {
namespace {

using sync_points::SyncPoint;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::array points = {SyncPoint::lock_taken,          SyncPoint::lock_awaited,
                               SyncPoint::lock_falling_asleep, SyncPoint::lock_woken,
                               SyncPoint::lock_holder_missed,  SyncPoint::lock_released,
                               SyncPoint::lock_waiter_woken};

struct Shared {
  std::atomic<std::uint32_t> word;
  std::atomic<std::uint32_t> over;
  std::atomic<std::uint64_t> first;  // both are the same whenever nobody is inside
  std::atomic<std::uint64_t> second;
  std::atomic<std::uint32_t> inside;
  std::atomic<std::uint32_t> crowded;  // two were inside
  std::atomic<std::uint32_t> stopped;
};

class ProcessLockSteps : public testing::Test {
 protected:
  ~ProcessLockSteps() override {
    sync_points::observer = nullptr;
    for (pid_t const child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }

  // A child that takes the lock and gives it back again and again. It calls `at` at each point.
  pid_t start(std::function<void(SyncPoint)> at = {}) {
    pid_t const child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(60);
      sync_points::observer = std::move(at);
      for (unsigned i = 0; shared_.over == 0; ++i) step(i);
      ::_exit(0);
    }
    children_.push_back(child);
    return child;
  }

  void step(unsigned i) {
    LockResult const result = lock_.lock();
    if (result == LockResult::holder_died) {
      shared_.second = shared_.first.load();
      shared_.inside = 0;
    }
    if (shared_.inside.fetch_add(1) != 0) shared_.crowded = 1;
    ++shared_.first;
    // Long enough, now and then, that the others go to sleep.
    if (i % 8 == 0) ::usleep(100);
    ++shared_.second;
    shared_.inside.fetch_sub(1);
    lock_.unlock();
  }

  void join() {
    shared_.over = 1;
    for (pid_t const child : children_) {
      int status = 0;
      ::waitpid(child, &status, 0);
      EXPECT_EQ(status, 0);
    }
    children_.clear();
    shared_.over = 0;
  }

  bool others_go_on() {
    std::uint64_t const before = shared_.first;
    return support::until([&] { return shared_.first > before + 20; });
  }

  Memfd file_ = Memfd::create("procpool-test", 4096);
  Mapping mapping_{file_, Access::read_write, Visibility::children_and_dumps};
  Shared& shared_ = *reinterpret_cast<Shared*>(mapping_.data());
  ProcessLock lock_{shared_.word, file_.identity()};
  std::vector<pid_t> children_;
  unsigned seed_ = support::new_seed();
};

TEST_F(ProcessLockSteps, ADeathAtEachStopsNobody) {
  std::mt19937 random(seed_);
  for (SyncPoint const point : points) {
    for (int round = 0; round < 20; ++round) {
      start();
      start();
      auto passes = random() % 20;
      pid_t const victim = start([&](SyncPoint passed) {
        if (passed == point && passes-- == 0) ::kill(::getpid(), SIGKILL);
      });
      // A number of nobody is noticed by one of them, which may be the victim.
      auto const junk = [&] { shared_.word = 0x7fffffffU; };
      bool died = false;
      ASSERT_TRUE(support::until([&] {
        if (point == SyncPoint::lock_holder_missed) junk();
        died = ::waitpid(victim, nullptr, WNOHANG) == victim;
        return died;
      })) << "the victim never comes to point "
          << static_cast<int>(point);
      children_.pop_back();
      EXPECT_TRUE(others_go_on()) << "after a death at point " << static_cast<int>(point);
      join();
      if (point != SyncPoint::lock_holder_missed) {
        EXPECT_EQ(shared_.crowded, 0U) << "two were inside";
      }
      shared_.crowded = 0;
      shared_.inside = 0;
      shared_.second = shared_.first.load();
    }
  }
}

// Those who wait for it, and it alone, wait until it goes on.
TEST_F(ProcessLockSteps, AStopAtEachIsNoDeath) {
  for (SyncPoint const point : points) {
    if (point == SyncPoint::lock_holder_missed) continue;  // nobody has died
    shared_.stopped = 0;
    pid_t const slow = start([&, passes = 10](SyncPoint passed) mutable {
      if (passed != point || passes-- != 0) return;
      shared_.stopped = 1;
      ::raise(SIGSTOP);
    });
    start();
    start();
    ASSERT_TRUE(support::until([&] { return shared_.stopped == 1; }));
    // Much longer than the others wait before they look.
    auto const until = Clock::now() + 50ms;
    while (Clock::now() < until) ::usleep(1000);
    ::kill(slow, SIGCONT);
    EXPECT_TRUE(others_go_on()) << "point " << static_cast<int>(point);
    join();
    EXPECT_EQ(shared_.crowded, 0U) << "two were inside";
    EXPECT_EQ(shared_.first, shared_.second);
  }
}

// What the first waiter has been told, and died with, the second is told soon.
TEST_F(ProcessLockSteps, AWaiterThatDiesWhenItIsWokenLeavesTheLockToTheNext) {
  ASSERT_EQ(lock_.lock(), LockResult::taken);
  auto const wait = [&](std::function<void(SyncPoint)> at) {
    pid_t const child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(60);
      sync_points::observer = std::move(at);
      LockResult const result = lock_.lock(Clock::now() + 20s);
      ::_exit(static_cast<int>(result));
    }
    children_.push_back(child);
    return child;
  };
  pid_t const victim = wait([&](SyncPoint passed) {
    if (passed == SyncPoint::lock_woken && shared_.word == 0) ::kill(::getpid(), SIGKILL);
  });
  pid_t const next = wait({});
  ASSERT_TRUE(support::until([&] { return shared_.word >> 31 != 0; }));
  lock_.unlock();
  int status = 0;
  ::waitpid(next, &status, 0);
  EXPECT_NE(status >> 8, static_cast<int>(LockResult::timed_out));
  ::kill(victim, SIGKILL);
  ::waitpid(victim, nullptr, 0);
  children_.clear();
}

}  // namespace
}  // namespace procpool::os
