// Callbacks: one thread, made at first use, that outlives what is still registered; and Completion,
// whose hooks are told once.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <procpool/detail/callbacks.hpp>
#include <procpool/detail/site.hpp>
#include <procpool/detail/task.hpp>

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

// ---- hooks

struct Count final : Completion::Hook {
  explicit Count(std::atomic<int>& given) : count(given) {}
  void ended() noexcept override { ++count; }
  std::atomic<int>& count;
};

TEST(Completion, TellsEveryHookOnceBeforeOrAfterItsEnd) {
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

TEST(Completion, LosesNoHookThatComesWithItsEnd) {
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

}  // namespace
}  // namespace procpool::detail
