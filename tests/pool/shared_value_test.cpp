// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// SharedValue in pools: counters, flags, structs behind a lock.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::SharedValue;

namespace {

struct Account {
  char owner[16];
  std::int64_t balance = 100;
  std::int64_t bookings = 0;
};

struct Bank {
  std::string name;
  std::optional<SharedValue<Account>> account;
};

void count(SharedValue<long> const& counter) { counter.fetch_add(1); }
void book(SharedValue<Account> const& account, std::int64_t amount) {
  account.with_lock([&](Account& value) {
    value.balance += amount;
    ++value.bookings;
  });
}
void die_while_booking(SharedValue<Account> const& account) {
  account.with_lock([](Account& value) {
    value.balance += 1000;
    ::raise(SIGKILL);
  });
}
std::int64_t balance_of(Bank const& bank) { return bank.account->get().balance; }

// Answers each number with the next one.
int answer(SharedValue<int> const& ball, int rounds) {
  int seen = 0;
  for (int i = 0; i < rounds; ++i) {
    seen = ball.wait(seen);
    ball.store(++seen);
  }
  return seen;
}
bool wait_for_flag(SharedValue<bool> const& flag) { return flag.wait(false); }
SharedValue<double> made_by_a_task(double value) { return SharedValue<double>(value); }

}  // namespace

TEST(SharedValues, HaveAFirstValue) {
  EXPECT_EQ(SharedValue<int>().load(), 0);
  EXPECT_EQ(SharedValue<int>(7).load(), 7);
  EXPECT_EQ(SharedValue<Account>().get().balance, 100);
  EXPECT_EQ(SharedValue<Account>(Account{"me", 5, 6}).get().bookings, 6);
}

TEST(SharedValues, HaveAtomicOperations) {
  SharedValue<int> const value(1);
  SharedValue<int> const copy = value;
  value.store(2);
  EXPECT_EQ(copy.load(), 2);
  EXPECT_EQ(copy.exchange(3), 2);
  EXPECT_EQ(value.fetch_add(4), 3);
  int expected = 6;
  EXPECT_FALSE(value.compare_exchange(expected, 1));
  EXPECT_EQ(expected, 7);
  EXPECT_TRUE(value.compare_exchange(expected, 1));
  EXPECT_EQ(copy.load(), 1);
  EXPECT_EQ(SharedValue<double>(0.5).fetch_add(0.25), 0.5);
}

// Its memory would be unmapped under the code, and under the lock.
TEST(SharedValues, TheirLastHandleMayBeDroppedUnderTheLock) {
  auto value = std::optional(SharedValue<int>(1));
  EXPECT_EQ(value->with_lock([&](int& held) {
    value.reset();
    return ++held;
  }),
            2);
  value.emplace(5);
  EXPECT_TRUE(value->with_lock_for(1s, [&](int& held) {
    SharedValue<int> const other = *std::exchange(value, std::nullopt);
    held = 6;
  }));
  EXPECT_FALSE(value);
}

TEST(SharedValues, ThatWereMovedFromSaySo) {
  SharedValue<int> value(1);
  SharedValue<int> const other = std::move(value);
  EXPECT_THROW(value.load(), std::logic_error);  // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(value.store(1), std::logic_error);
  EXPECT_THROW(value.get(), std::logic_error);
  EXPECT_THROW(value.wait_for(1ms, 1), std::logic_error);
  procpool::ProcessPool pool{1};
  EXPECT_THROW(pool.call([](SharedValue<int> const&) {}, value), std::logic_error);
}

TEST(SharedValues, AreWaitedFor) {
  SharedValue<int> const value(1);
  EXPECT_EQ(value.wait(0), 1) << "it differs already";
  support::Stopwatch const watch;
  EXPECT_EQ(value.wait_for(30ms, 1), std::nullopt);
  EXPECT_GE(watch.passed(), 30ms);
  EXPECT_EQ(value.wait_for(0ms, 1), std::nullopt);
  EXPECT_EQ(value.wait_for(0ms, 0), 1);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] { EXPECT_EQ(value.wait(1), 2); });
  }
  value.store(2);
  for (auto& waiter : waiters) waiter.join();
}

// A wake-up that was lost would cost a tenth of a second.
TEST(SharedValues, WakeAllWhoWait) {
  constexpr int rounds = 100;
  SharedValue<int> const value(0);
  std::atomic<int> ready{0};
  std::vector<std::thread> waiters;
  support::Stopwatch const watch;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        ++ready;
        EXPECT_EQ(value.wait(round), round + 1);
      }
    });
  }
  for (int round = 0; round < rounds; ++round) {
    ASSERT_TRUE(support::until([&] { return ready == 4 * (round + 1); }));
    value.store(round + 1);
  }
  for (auto& waiter : waiters) waiter.join();
  EXPECT_LT(watch.passed(), 5s);
}

TEST(SharedValues, PassABallBetweenProcesses) {
  constexpr int rounds = 10'000;
  procpool::ProcessPool pool{1};
  SharedValue<int> const ball(0);
  auto task = pool.submit<answer>(ball, rounds);
  support::Stopwatch const watch;
  for (int i = 0; i < rounds; ++i) {
    ball.store(2 * i + 1);
    ASSERT_EQ(ball.wait(2 * i + 1), 2 * i + 2);
  }
  EXPECT_EQ(task.get(), 2 * rounds);
  EXPECT_LT(watch.passed(), 10s);
}

TEST(SharedValues, OfTypeBoolAreEvents) {
  procpool::ProcessPool pool{3};
  SharedValue<bool> const flag(false);
  auto tasks = pool.map_async<wait_for_flag>(std::vector(3, flag));
  flag.store(true);
  for (bool const seen : tasks.get()) EXPECT_TRUE(seen);
}

TEST(SharedValues, CountForAllProcesses) {
  for (auto const start :
       {procpool::Start::spawn, procpool::Start::forkserver, procpool::Start::in_process}) {
    procpool::PoolOptions options;
    options.workers = 3;
    options.start.method = start;
    procpool::ProcessPool pool{options};
    SharedValue<long> const counter;
    pool.map<count>(std::vector(10'000, counter));
    EXPECT_EQ(counter.load(), 10'000);
  }
}

TEST(SharedValues, AreChangedUnderTheLock) {
  procpool::ProcessPool pool{3};
  SharedValue<Account> const account;
  pool.map(procpool::bind_front(book, account), std::vector<std::int64_t>(1000, 2));
  EXPECT_EQ(account.get().balance, 2100);
  EXPECT_EQ(account.get().bookings, 1000);
  account.set(Account{"you", 1, 2});
  EXPECT_EQ(pool.call<balance_of>(Bank{"bank", account}), 1);
  EXPECT_EQ(pool.call<made_by_a_task>(0.5).load(), 0.5);
}

TEST(SharedValues, AHolderThatDiesPoisonsThem) {
  procpool::ProcessPool pool{1};
  SharedValue<Account> const account;
  EXPECT_THROW(pool.call<die_while_booking>(account), procpool::WorkerDied);
  EXPECT_THROW(account.get(), procpool::HolderDied);
  EXPECT_THROW(account.set({}), procpool::HolderDied);
  EXPECT_THROW(pool.call<book>(account, std::int64_t{1}), procpool::HolderDied);
  account.with_lock([](Account&) {}, [](Account& value) { value.balance = 100; });
  EXPECT_EQ(account.get().balance, 100);
  EXPECT_TRUE(account.with_lock_for(1s, [](Account& value) { value.balance = 7; }));
  EXPECT_EQ(account.get().balance, 7);
}
