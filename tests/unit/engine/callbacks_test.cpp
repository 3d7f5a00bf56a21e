// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Callbacks: one thread, made at first use, that outlives what is still registered; and Completion,
// whose callbacks are told once.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/engine/task.hpp>

#include "support/processes.hpp"
#include "support/until.hpp"

namespace procpool::detail {
namespace {

class Call final : public Work {
 public:
  Call(std::shared_ptr<Callbacks> callbacks, std::function<void()> function)
      : Work(std::move(callbacks)), function_(std::move(function)) {}
  void run() noexcept override { function_(); }

 private:
  std::function<void()> const function_;
};

std::shared_ptr<Callbacks> make() { return std::make_shared<Callbacks>(Callbacks::Log()); }

TEST(Callbacks, RunInTheOrderOfPostingOnOneThread) {
  auto const callbacks = make();
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  for (int i = 0; i < 100; ++i) {
    callbacks->post(std::make_shared<Call>(callbacks, [&, i] {
      order.push_back(i);
      threads.push_back(std::this_thread::get_id());
      EXPECT_TRUE(callbacks->on_thread());
    }));
  }
  callbacks->retire();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  for (auto const& id : threads) EXPECT_EQ(id, threads.front());
  EXPECT_NE(threads.front(), std::this_thread::get_id());
  EXPECT_FALSE(callbacks->on_thread());
}

TEST(Callbacks, WorkMayPostItselfAgain) {
  auto const callbacks = make();
  std::atomic<int> runs = 0;
  std::shared_ptr<Call> work;
  work = std::make_shared<Call>(callbacks, [&] {
    if (++runs < 5) callbacks->post(work);
  });
  callbacks->post(work);
  EXPECT_TRUE(support::until([&] { return runs == 5; }));
  work.reset();
  callbacks->retire();
}

TEST(Callbacks, WhatIsStillRegisteredKeepsTheThread) {
  auto callbacks = make();
  std::atomic<bool> ran = false;
  auto work = std::make_shared<Call>(callbacks, [&ran] { ran = true; });
  callbacks->retire();  // does not wait for it
  callbacks->post(std::move(work));
  EXPECT_TRUE(support::until([&ran] { return ran.load(); }));
}

TEST(Callbacks, WithoutAPoolTheThreadComesAndGoes) {
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> ran = false;
    auto const callbacks = Callbacks::without_pool();
    callbacks->post(std::make_shared<Call>(callbacks, [&ran] { ran = true; }));
    ASSERT_TRUE(support::until([&ran] { return ran.load(); }));
    // Once more, when the first thread may be gone or going.
    ran = false;
    callbacks->post(std::make_shared<Call>(callbacks, [&ran] { ran = true; }));
    ASSERT_TRUE(support::until([&ran] { return ran.load(); }));
  }
}

TEST(Callbacks, MayRetireFromTheThreadItself) {
  auto callbacks = make();
  std::atomic<bool> second = false;
  callbacks->post(std::make_shared<Call>(callbacks, [&] { callbacks->retire(); }));
  callbacks->post(std::make_shared<Call>(callbacks, [&] { second = true; }));
  EXPECT_TRUE(support::until([&] { return second.load(); }));
}

TEST(Callbacks, TheEndSaysWhatItWaitsFor) {
  class Slow final : public Work {
   public:
    Slow(std::shared_ptr<Callbacks> callbacks, std::atomic<bool>& goes_on)
        : Work(std::move(callbacks)), goes_on_(goes_on) {}
    void run() noexcept override {
      EXPECT_TRUE(support::until([this] { return goes_on_.load(); }));
    }
    std::string what() const override { return "a slow one"; }

   private:
    std::atomic<bool>& goes_on_;
  };
  std::atomic<bool> goes_on = false;
  std::string said;
  auto const log = [&](std::string_view line) {
    said = line;
    goes_on = true;  // it waits until this was said
  };
  auto const callbacks = std::make_shared<Callbacks>(log, "mine", std::chrono::milliseconds(20));
  callbacks->post(std::make_shared<Slow>(callbacks, goes_on));
  callbacks->post(std::make_shared<Call>(callbacks, [] {}));
  callbacks->post(std::make_shared<Call>(callbacks, [] {}));
  callbacks->retire();
  EXPECT_NE(said.find("\"mine\""), std::string::npos) << said;
  EXPECT_NE(said.find("a slow one, which has been running for "), std::string::npos) << said;
  EXPECT_NE(said.find("2 more wait behind it"), std::string::npos) << said;
}

TEST(Callbacks, WithoutAPoolIsOneForAll) {
  EXPECT_EQ(Callbacks::without_pool(), Callbacks::without_pool());
}

// ---- callbacks of completions

struct Count final : Completion::Callback {
  explicit Count(std::atomic<int>& given) : count(given) {}
  void ended() noexcept override { ++count; }
  std::atomic<int>& count;
};

TEST(Completion, TellsEveryCallbackOnceBeforeOrAfterItsEnd) {
  std::atomic<int> count = 0;
  Task task{Function{}};
  task.on_end(std::make_unique<Count>(count));
  task.on_end(std::make_unique<Count>(count));
  EXPECT_EQ(count, 0);
  task.seal();
  EXPECT_EQ(count, 2);
  task.on_end(std::make_unique<Count>(count));
  EXPECT_EQ(count, 3);
}

TEST(Completion, LosesNoCallbackThatComesWithItsEnd) {
  for (int round = 0; round < 500; ++round) {
    std::atomic<int> count = 0;
    Task task{Function{}};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] { task.on_end(std::make_unique<Count>(count)); });
    }
    task.seal();
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(count, 3);
  }
}

struct Stale final : Completion::Callback {
  Stale(std::atomic<int>& told, std::atomic<int>& gone, bool is)
      : count(told), dead(gone), old(is) {}
  ~Stale() override { ++dead; }
  void ended() noexcept override { ++count; }
  bool stale() const noexcept override { return old; }
  std::atomic<int>& count;
  std::atomic<int>& dead;
  bool const old;
};

TEST(Completion, LetsGoOfStaleCallbacks) {
  std::atomic<int> told = 0;
  std::atomic<int> gone = 0;
  Task task{Function{}};
  for (int i = 0; i < 10'000; ++i) {
    task.on_end(std::make_unique<Stale>(told, gone, i % 100 != 0));
  }
  EXPECT_GE(gone, 9'500);
  task.seal();
  EXPECT_GE(told, 100);
  EXPECT_LE(told, 500);
  EXPECT_EQ(gone, 10'000);
}

TEST(Completion, LosesNoCallbackWhenItLooksForStaleOnesWhileItEnds) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> count = 0;
    std::atomic<int> told = 0;
    std::atomic<int> gone = 0;
    Task task{Function{}};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 150; ++j) {
          task.on_end(std::make_unique<Count>(count));
          task.on_end(std::make_unique<Stale>(told, gone, true));
        }
      });
    }
    task.seal();
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(count, 300);
    ASSERT_EQ(gone, 300);
  }
}

}  // namespace
}  // namespace procpool::detail
