// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A queue between processes: consumers that die with an item in hand, seats, forks, files that are no
// queues.
#include "handle/byte_queue.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/element_scope.hpp"
#include "os/memfd.hpp"
#include "queue_support.hpp"
#include "support/processes.hpp"

namespace {

using namespace queue_tests;

// A child that takes one item, tells of it, and never asks again.
class Holder {
 public:
  explicit Holder(ByteQueue& queue)
      : child_([&] {
          std::string const text = next(queue, soon());
          if (::write(pipe_.ends[1], "x", 1) != 1) return 1;
          if (text == "exit") return 3;
          for (;;) ::pause();
          return 0;
        }) {
    char byte = 0;
    if (::read(pipe_.ends[0], &byte, 1) != 1) throw std::runtime_error("the child has no item");
  }
  void kill() { child_.kill(); }
  int join() { return child_.join(); }
  pid_t pid() const { return child_.pid(); }

 private:
  struct Pipe {
    Pipe() {
      if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    }
    ~Pipe() {
      ::close(ends[0]);
      ::close(ends[1]);
    }
    int ends[2];
  };
  Pipe pipe_;
  Child child_;
};

TEST(QueueDeaths, AnItemInADeadHandIsCountedAsLost) {
  auto const queue = make_queue();
  push(*queue, "a");
  push(*queue, "b");
  Holder holder(*queue);
  EXPECT_EQ(queue->lost(), 0u);
  holder.kill();
  EXPECT_EQ(queue->lost(), 1u);
  EXPECT_EQ(queue->lost(), 1u);
  EXPECT_EQ(next(*queue), "b");
  queue->close();
  EXPECT_TRUE(queue->drained());
}

TEST(QueueDeaths, AnItemInADeadHandIsGivenAgainAheadOfOthers) {
  auto const queue = make_queue(1024, 64 << 20, 2);
  push(*queue, "a");
  push(*queue, "b");
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    Holder holder(*queue);
    holder.kill();
  }
  EXPECT_EQ(next(*queue, soon()), "a");
  EXPECT_EQ(queue->attempts(), 2u);
  EXPECT_EQ(next(*queue, soon()), "b");
  EXPECT_EQ(queue->attempts(), 0u);
  EXPECT_EQ(queue->lost(), 0u);
}

TEST(QueueDeaths, APoisonousItemIsGivenSoOftenAndNoMore) {
  auto const queue = make_queue(1024, 64 << 20, 3);
  push(*queue, "poison");
  for (unsigned attempt = 0; attempt < 4; ++attempt) {
    Holder holder(*queue);
    EXPECT_EQ(queue->lost(), 0u);
    holder.kill();
  }
  EXPECT_EQ(queue->lost(), 1u);
  EXPECT_EQ(next(*queue, soon(300ms)), "(nothing)");
}

TEST(QueueDeaths, LargeItemsAreGivenAgain) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  std::string text(5'000'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i / 3);
  push(*queue, text);
  Holder holder(*queue);
  holder.kill();
  EXPECT_TRUE(next(*queue, soon()) == text);
}

TEST(QueueDeaths, DoneEndsTheHold) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "a");
  Child child([&] {
    if (next(*queue, soon()) != "a") return 1;
    queue->done();
    ::raise(SIGKILL);
    return 2;
  });
  EXPECT_EQ(child.join(), -SIGKILL);
  EXPECT_EQ(next(*queue, soon(300ms)), "(nothing)");
  EXPECT_EQ(queue->lost(), 0u);
}

// Its last item may come back, so the queue is not drained before.
TEST(QueueDeaths, AClosedQueueWaitsForTheHandsOfOthers) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "last");
  auto holder = std::make_unique<Holder>(*queue);
  queue->close();
  EXPECT_FALSE(queue->drained());
  EXPECT_EQ(next(*queue), "(nothing)");
  std::thread killer([&] {
    std::this_thread::sleep_for(50ms);
    holder->kill();
  });
  EXPECT_EQ(next(*queue, soon()), "last");
  killer.join();
  EXPECT_EQ(next(*queue, soon()), "(ended)");
  EXPECT_TRUE(queue->drained());
}

TEST(QueueDeaths, AClosedQueueEndsWithTheLastHand) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "last");
  std::atomic<bool> may_end{false};
  std::thread holder([&] {
    EXPECT_EQ(next(*queue, soon()), "last");
    while (!may_end) std::this_thread::sleep_for(1ms);
  });
  support::until([&] { return queue->size() == 0; });
  queue->close();
  std::thread ender([&] {
    std::this_thread::sleep_for(30ms);
    may_end = true;
  });
  EXPECT_EQ(next(*queue, soon()), "(ended)");
  EXPECT_TRUE(may_end);
  holder.join();
  ender.join();
}

// A process that leaves by exit() within an element has not ended the element.
TEST(QueueDeaths, AnElementThatIsLeftHasNotEnded) {
  auto const queue = make_queue(1024, 64 << 20, 0);
  push(*queue, "a");
  push(*queue, "b");
  push(*queue, "c");
  Child ends([&] {
    procpool::ElementScope element;
    next(*queue, soon());
    element.end();
    ::raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(ends.join(), -SIGKILL);
  EXPECT_EQ(queue->lost(), 0u);
  Child leaves([&] {
    std::thread([&] {
      procpool::ElementScope const element;
      next(*queue, soon());
      ::pthread_exit(nullptr);
    }).join();
    return 0;
  });
  EXPECT_EQ(leaves.join(), 0);
  EXPECT_EQ(queue->lost(), 1u);
  std::thread([&] { next(*queue, soon()); }).join();
  EXPECT_EQ(queue->lost(), 1u);
}

// Elements nest if pools run in process. What was taken outside stays in hand.
TEST(QueueDeaths, AnInnerElementEndsItsOwnHoldsOnly) {
  auto const outer = make_queue(1024, 64 << 20, 1);
  auto const inner = make_queue(1024, 64 << 20, 1);
  push(*outer, "a");
  push(*inner, "b");
  Child child([&] {
    next(*outer, soon());
    procpool::ElementScope element;
    next(*inner, soon());
    element.end();
    ::raise(SIGKILL);
    return 0;
  });
  child.join();
  EXPECT_EQ(next(*outer, soon()), "a");
  EXPECT_EQ(next(*inner, soon(300ms)), "(nothing)");
}

TEST(QueueDeaths, WhoWaitsToBeReapedIsDead) {
  auto const queue = make_queue();
  push(*queue, "a");
  Child const child([&] { return next(*queue, soon()) == "a" ? 0 : 1; });
  ASSERT_TRUE(support::until([&] { return support::stat_of(child.pid()).state == 'Z'; }));
  EXPECT_EQ(queue->lost(), 1u);
}

TEST(QueueDeaths, SeatsOfTheDeadAreUsedAgain) {
  auto const queue = make_queue();
  for (int i = 0; i < 300; ++i) {
    push(*queue, "x");
    Child child([&] {
      next(*queue, soon());
      ::_exit(0);
      return 0;
    });
    child.join();
  }
  EXPECT_EQ(queue->lost(), 300u);
  push(*queue, "y");
  EXPECT_EQ(next(*queue), "y");
}

TEST(QueueDeaths, ThereAreSeatsFor256Threads) {
  auto const queue = make_queue();
  queue->close();
  std::atomic<int> seated{0};
  std::atomic<int> refused{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 257; ++i) {
    threads.emplace_back([&] {
      try {
        next(*queue, soon());
        ++seated;
      } catch (procpool::SetupError const&) {
        ++refused;
      }
      while (!over) std::this_thread::sleep_for(1ms);
    });
  }
  EXPECT_TRUE(support::until([&] { return seated + refused == 257; }));
  EXPECT_EQ(seated, 256);
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(next(*queue), "(ended)");
}

// The hand of a thread is not that of the thread in a forked child.
TEST(QueueDeaths, AForkedChildHasHandsOfItsOwn) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "mine");
  push(*queue, "its");
  EXPECT_EQ(next(*queue), "mine");
  Child child([&] {
    if (queue->attempts() != 0) return 1;
    if (next(*queue, soon()) != "its") return 2;
    ::raise(SIGKILL);
    return 3;
  });
  EXPECT_EQ(child.join(), -SIGKILL);
  // The parent's item is still in its hand.
  Child other([&] {
    if (next(*queue, soon()) != "its") return 1;
    queue->done();
    return next(*queue, soon(300ms)) == "(nothing)" ? 0 : 2;
  });
  EXPECT_EQ(other.join(), 0);
}

TEST(QueueDeaths, TheHandsOfAProcessEndWithItsHandle) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "a");
  {
    auto const second = adopt(*queue);
    EXPECT_EQ(next(*second), "a");
  }
  EXPECT_EQ(next(*queue, soon(300ms)), "(nothing)");
  queue->close();
  EXPECT_TRUE(queue->drained());
}

// Two threads of a process may adopt it at the same time. The object that comes second is dropped.
TEST(QueueDeaths, AnObjectThatWasNotUsedLeavesTheHandsOfOthers) {
  auto const queue = make_queue(1024, 64 << 20, 1);
  push(*queue, "a");
  EXPECT_EQ(next(*queue), "a");
  adopt(*queue).reset();
  queue->close();
  EXPECT_FALSE(queue->drained());
  queue->done();
  EXPECT_TRUE(queue->drained());
}

// A thread that never held a lock, and one that was stopped with it.
TEST(QueueDeaths, AStoppedConsumerHoldsUpNobody) {
  auto const queue = make_queue();
  push(*queue, "a");
  push(*queue, "b");
  Holder holder(*queue);
  ::kill(holder.pid(), SIGSTOP);
  ASSERT_TRUE(support::until([&] { return support::stat_of(holder.pid()).state == 'T'; }));
  EXPECT_EQ(push(*queue, "c"), Push::done);
  EXPECT_EQ(next(*queue, soon()), "b");
  EXPECT_EQ(next(*queue, soon()), "c");
  EXPECT_EQ(queue->lost(), 0u);
}

// ---- the lock that is never released

class HeldLock {
 public:
  explicit HeldLock(ByteQueue& queue)
      : view_(queue.file(), procpool::os::Access::read_write, 0, 4096),
        words_(*reinterpret_cast<handle::QueueWords*>(view_.data())) {}
  handle::QueueWords& words() { return words_; }

 private:
  procpool::os::Mapping view_;
  handle::QueueWords& words_;
};

TEST(QueueDeaths, ALivingHolderThatMovesNothingBreaksTheQueue) {
  auto const queue = make_queue();
  queue->set_patience(300ms);
  HeldLock lock(*queue);
  std::atomic<bool> over{false};
  std::atomic<std::uint32_t> number{0};
  std::thread idle([&] {
    number = static_cast<std::uint32_t>(::gettid());
    while (!over) std::this_thread::sleep_for(1ms);
  });
  while (number == 0) std::this_thread::yield();
  lock.words().producers = number.load();
  EXPECT_EQ(push(*queue, "x"), Push::full);  // a call that does not wait has 100 ms
  EXPECT_THROW(queue->push(bytes_of("x"), soon()), procpool::QueueBroken);
  EXPECT_THROW(next(*queue), procpool::QueueBroken);
  over = true;
  idle.join();
}

TEST(QueueDeaths, AStoppedHolderIsWaitedFor) {
  auto const queue = make_queue();
  queue->set_patience(300ms);
  HeldLock lock(*queue);
  Child child([] {
    for (;;) ::pause();
    return 0;
  });
  ::kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(support::until([&] { return support::stat_of(child.pid()).state == 'T'; }));
  lock.words().producers = static_cast<std::uint32_t>(child.pid());
  EXPECT_EQ(queue->push(bytes_of("x"), soon(1s)), Push::full);
  child.kill();
  EXPECT_EQ(queue->push(bytes_of("x"), soon()), Push::done);
}

// The waiter was stopped too, as by a key of the terminal.
TEST(QueueDeaths, TimeInWhichItsWaiterIsStoppedDoesNotBreakIt) {
  constexpr auto patience = 600ms;
  auto const queue = make_queue();
  queue->set_patience(patience);
  HeldLock lock(*queue);
  lock.words().producers = static_cast<std::uint32_t>(::gettid());
  Child child([&] { return queue->push(bytes_of("x"), soon()) == Push::done ? 0 : 1; });
  auto const state = [&] { return support::stat_of(child.pid()).state; };
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(support::until([&] { return state() == 'S'; }));
    ::kill(child.pid(), SIGSTOP);
    ASSERT_TRUE(support::until([&] { return state() == 'T'; }));
    std::this_thread::sleep_for(patience + 100ms);
    ::kill(child.pid(), SIGCONT);
    // It has looked again.
    std::this_thread::sleep_for(patience / 10);
  }
  lock.words().producers = 0;
  EXPECT_EQ(child.join(), 0);
}

// ---- files that are no queues

TEST(QueueDeaths, OnlyAQueueIsAdopted) {
  auto const refuse = [](procpool::os::UniqueFd file) {
    EXPECT_THROW(adopt_file(std::move(file)), std::runtime_error);
  };
  namespace os = procpool::os;
  refuse(os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  refuse(os::UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)));
  auto const queue = make_queue();
  std::vector<std::byte> bytes(4096);
  queue->file().read_at(bytes, 0);
  auto const copy = [&](std::uint64_t size, int seals) {
    os::Memfd file = os::Memfd::create_sparse("test", size);
    file.write_at(bytes, 0);
    if (seals != 0) file.seal(seals);
    return file.duplicate();
  };
  constexpr int both = F_SEAL_SHRINK | F_SEAL_GROW;
  EXPECT_NO_THROW(adopt_file(copy(queue->file().size(), both)));
  refuse(copy(queue->file().size(), 0));
  refuse(copy(queue->file().size(), F_SEAL_GROW));
  refuse(copy(queue->file().size() + 4096, both));
  refuse(copy(8192, both));
  auto& header = *reinterpret_cast<handle::QueueHeader*>(bytes.data());
  header.shape.bytes = std::uint64_t{1} << 60;
  refuse(copy(queue->file().size(), both));
  header.shape.bytes = queue->shape().bytes;
  header.magic = 0;
  refuse(copy(queue->file().size(), both));
  // A push would wait for ever.
  auto const small = make_queue(16, 1024);
  small->file().read_at(bytes, 0);
  EXPECT_NO_THROW(adopt_file(copy(small->file().size(), both)));
  header.shape.bytes = handle::unit - 1;
  refuse(copy(small->file().size(), both));
  header.shape.bytes = 1024;
  header.shape.items = 0;
  refuse(copy(small->file().size(), both));
}

}  // namespace
