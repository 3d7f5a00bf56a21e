// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A queue within one process: order, limits, close, times, sizes, memory.
#include "handle/byte_queue.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "queue_support.hpp"
#include "support/build.hpp"
#include "support/processes.hpp"

namespace {

using namespace queue_tests;
using handle::SharedDoorbell;

std::string pattern(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251 + seed);
  return text;
}

std::uint64_t resident(ByteQueue const& queue) {
  struct stat status{};
  ::fstat(queue.file().fd(), &status);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

TEST(QueueOrder, FirstInFirstOut) {
  auto const queue = make_queue();
  EXPECT_EQ(next(*queue), "(nothing)");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(push(*queue, std::to_string(i)), Push::done);
  EXPECT_EQ(queue->size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(next(*queue), std::to_string(i));
  EXPECT_EQ(next(*queue), "(nothing)");
  EXPECT_EQ(queue->size(), 0u);
}

TEST(QueueOrder, HoldsExactlySoManyItems) {
  for (std::uint64_t const most : {1u, 2u, 7u, 1000u}) {
    auto const queue = make_queue(most);
    for (int round = 0; round < 3; ++round) {
      for (std::uint64_t i = 0; i < most; ++i) ASSERT_EQ(push(*queue, "x"), Push::done) << most;
      EXPECT_EQ(push(*queue, "x"), Push::full) << most;
      EXPECT_EQ(queue->size(), most);
      EXPECT_EQ(next(*queue), "x");
      EXPECT_EQ(push(*queue, "y"), Push::done);
      EXPECT_EQ(push(*queue, "y"), Push::full);
      while (next(*queue) != "(nothing)") {
      }
    }
  }
}

// An item of n bytes takes 16 more, rounded up to 16.
TEST(QueueOrder, HoldsExactlySoManyBytes) {
  auto const queue = make_queue(1000, 160);
  EXPECT_EQ(push(*queue, std::string(64, 'a')), Push::done);  // 80
  EXPECT_EQ(push(*queue, std::string(49, 'b')), Push::done);  // 80
  EXPECT_EQ(push(*queue, ""), Push::full);
  EXPECT_EQ(next(*queue), std::string(64, 'a'));
  EXPECT_EQ(push(*queue, std::string(65, 'c')), Push::full);  // 96
  EXPECT_EQ(push(*queue, std::string(64, 'c')), Push::done);
  EXPECT_EQ(next(*queue), std::string(49, 'b'));
  EXPECT_EQ(next(*queue), std::string(64, 'c'));
  EXPECT_EQ(push(*queue, std::string(144, 'd')), Push::done);  // all
  EXPECT_EQ(push(*queue, ""), Push::full);
  EXPECT_EQ(next(*queue), std::string(144, 'd'));
  EXPECT_THROW(push(*queue, std::string(145, 'e')), std::length_error);
  EXPECT_EQ(push(*queue, "f"), Push::done);
  EXPECT_EQ(next(*queue), "f");
}

TEST(QueueOrder, ManyRoundsWithAnySize) {
  auto const queue = make_queue(64, 100'000);
  std::vector<std::string> sent;
  std::size_t received = 0;
  unsigned random = 12345;
  for (unsigned i = 0; i < 20'000; ++i) {
    random = random * 1664525 + 1013904223;
    std::string text = pattern((random >> 8) % (i % 100 == 0 ? 30'000 : 300), i);
    while (push(*queue, text) == Push::full) {
      ASSERT_EQ(next(*queue), sent.at(received++));
    }
    sent.push_back(std::move(text));
    if (random % 3 == 0 && received < sent.size()) {
      ASSERT_EQ(next(*queue), sent.at(received++));
    }
  }
  while (received < sent.size()) ASSERT_EQ(next(*queue), sent.at(received++));
}

// More of the ring comes into use while there are items in it, wherever they lie.
TEST(QueueOrder, TheRingGrowsAroundItsItems) {
  for (std::size_t const before : {0u, 20'000u, 50'000u, 64'000u}) {
    auto const queue = make_queue(1024, 8 << 20);
    // Head stands somewhere in the ring.
    for (std::size_t done = 0; done < before; done += 1'008) {
      push(*queue, pattern(992, 1));
      next(*queue);
    }
    for (unsigned i = 0; i < 50; ++i) ASSERT_EQ(push(*queue, pattern(1'000 + i, i)), Push::done);
    ASSERT_EQ(push(*queue, pattern(300'000, 50)), Push::done);
    ASSERT_EQ(push(*queue, pattern(3'000'000, 51)), Push::done);
    for (unsigned i = 0; i < 50; ++i) ASSERT_EQ(next(*queue), pattern(1'000 + i, i)) << before;
    ASSERT_TRUE(next(*queue) == pattern(300'000, 50));
    ASSERT_TRUE(next(*queue) == pattern(3'000'000, 51));
  }
}

TEST(QueueOrder, TakesItemsOfAnySize) {
  auto const queue = make_queue(10, std::uint64_t{128} << 20, 1);
  for (std::size_t const size :
       {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{4096},
        std::size_t{1} << 20, (std::size_t{1} << 20) + 1, std::size_t{100} << 20}) {
    std::string const text = pattern(size, 3);
    ASSERT_EQ(push(*queue, text), Push::done) << size;
    ASSERT_TRUE(next(*queue) == text) << size;
  }
}

TEST(QueueOrder, GivesItsMemoryBack) {
  for (unsigned const redeliver : {0u, 3u}) {
    auto const queue = make_queue(1000, std::uint64_t{128} << 20, redeliver);
    EXPECT_LE(resident(*queue), 128u << 10);
    std::string const text(std::size_t{32} << 20, 'm');
    ASSERT_EQ(push(*queue, text), Push::done);
    ASSERT_EQ(push(*queue, text), Push::done);
    EXPECT_GE(resident(*queue), 64u << 20);
    ASSERT_EQ(pop(*queue).text.size(), text.size());
    ASSERT_EQ(pop(*queue).text.size(), text.size());
    EXPECT_EQ(next(*queue), "(nothing)");
    EXPECT_LE(resident(*queue), 4u << 20);
    ASSERT_EQ(push(*queue, "small"), Push::done);
    EXPECT_EQ(next(*queue), "small");
  }
}

TEST(QueueOrder, CloseEndsPushesAndKeepsItems) {
  auto const queue = make_queue();
  push(*queue, "a");
  push(*queue, "b");
  EXPECT_FALSE(queue->closed());
  queue->close();
  queue->close();
  EXPECT_TRUE(queue->closed());
  EXPECT_EQ(push(*queue, "c"), Push::closed);
  EXPECT_FALSE(queue->drained());
  EXPECT_EQ(next(*queue, std::nullopt), "a");
  EXPECT_EQ(next(*queue, std::nullopt), "b");
  EXPECT_TRUE(queue->drained());
  EXPECT_EQ(next(*queue, std::nullopt), "(ended)");
  EXPECT_EQ(next(*queue), "(ended)");
}

// ---- sleepers. Each sleep ends by itself after 100 ms, which is not to be waited for. The fastest of
// some counts, since a busy machine delays others.

constexpr int sleeps = 10;
constexpr auto soon_enough = SharedDoorbell::longest_sleep / 2;

// Threads that are asleep, and then measured until they have ended.
class Sleepers {
 public:
  template <class Body>
  void add(Body body) {
    std::atomic<pid_t> number{0};
    threads_.emplace_back([&number, body] {
      number = ::gettid();
      body();
    });
    while (number == 0) std::this_thread::yield();
    EXPECT_TRUE(support::until([&] { return support::asleep(number); }));
  }
  std::chrono::microseconds join() {
    auto const begin = std::chrono::steady_clock::now();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 begin);
  }

 private:
  std::vector<std::thread> threads_;
};

TEST(QueueOrder, AnItemWakesASleeper) {
  auto fastest = std::chrono::microseconds::max();
  for (int i = 0; i < sleeps; ++i) {
    auto const queue = make_queue();
    Sleepers sleepers;
    sleepers.add([&] { EXPECT_EQ(next(*queue, soon()), "x"); });
    push(*queue, "x");
    fastest = std::min(fastest, sleepers.join());
  }
  EXPECT_LT(fastest, soon_enough);
}

// The first one that wakes up wakes the second one.
TEST(QueueOrder, TwoItemsWakeTwoSleepers) {
  auto fastest = std::chrono::microseconds::max();
  for (int i = 0; i < sleeps; ++i) {
    auto const queue = make_queue();
    Sleepers sleepers;
    for (int n = 0; n < 2; ++n) sleepers.add([&] { EXPECT_EQ(next(*queue, soon()), "x"); });
    push(*queue, "x");
    push(*queue, "x");
    fastest = std::min(fastest, sleepers.join());
  }
  EXPECT_LT(fastest, soon_enough);
}

TEST(QueueOrder, RoomWakesTwoSleepers) {
  auto fastest = std::chrono::microseconds::max();
  for (int i = 0; i < sleeps; ++i) {
    auto const queue = make_queue(2);
    push(*queue, "a");
    push(*queue, "b");
    Sleepers sleepers;
    for (int n = 0; n < 2; ++n) {
      sleepers.add([&] { EXPECT_EQ(queue->push(bytes_of("x"), soon()), Push::done); });
    }
    EXPECT_EQ(next(*queue), "a");
    EXPECT_EQ(next(*queue), "b");
    fastest = std::min(fastest, sleepers.join());
  }
  EXPECT_LT(fastest, soon_enough);
}

TEST(QueueOrder, CloseWakesAllThatWait) {
  auto fastest = std::chrono::microseconds::max();
  for (int i = 0; i < sleeps; ++i) {
    auto const queue = make_queue(1);
    auto const empty = make_queue();
    push(*queue, "a");
    Sleepers sleepers;
    for (int n = 0; n < 2; ++n) {
      sleepers.add([&] { EXPECT_EQ(queue->push(bytes_of("b"), soon()), Push::closed); });
      sleepers.add([&] { EXPECT_EQ(next(*empty, soon()), "(ended)"); });
    }
    queue->close();
    empty->close();
    fastest = std::min(fastest, sleepers.join());
  }
  EXPECT_LT(fastest, soon_enough);
}

// All that was pushed is popped, and all that is refused was not pushed.
TEST(QueueOrder, CloseAgainstPushes) {
  for (int round = 0; round < support::rounds(200, 20); ++round) {
    auto const queue = make_queue(16);
    std::atomic<int> pushed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (queue->push(bytes_of("x"), soon()) == Push::done) ++pushed;
      });
    }
    int popped = 0;
    std::thread consumer([&] {
      while (next(*queue, soon()) == "x") ++popped;
    });
    std::this_thread::yield();
    queue->close();
    for (auto& thread : threads) thread.join();
    consumer.join();
    ASSERT_EQ(popped, pushed);
    ASSERT_TRUE(queue->drained());
  }
}

TEST(QueueOrder, KeepsItsTimes) {
  auto const queue = make_queue(1);
  support::Stopwatch const time;
  EXPECT_EQ(next(*queue, soon(30ms)), "(nothing)");
  EXPECT_GE(time.passed(), 30ms);
  push(*queue, "a");
  support::Stopwatch const second;
  EXPECT_EQ(queue->push(bytes_of("b"), soon(130ms)), Push::full);
  EXPECT_GE(second.passed(), 130ms);
  EXPECT_LT(second.passed(), 5s);
}

TEST(QueueOrder, WaitersAreServed) {
  auto const queue = make_queue(4);
  constexpr int count = 2'000;
  std::thread producer([&] {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(queue->push(bytes_of(std::to_string(i)), soon()), Push::done);
      // The consumer falls asleep now and then.
      if (i % 500 == 0) std::this_thread::sleep_for(5ms);
    }
  });
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(next(*queue, soon()), std::to_string(i));
    if (i % 700 == 0) std::this_thread::sleep_for(5ms);
  }
  producer.join();
}

// Each item once, and those of one producer in their order.
TEST(QueueOrder, ManyThreads) {
  auto const queue = make_queue(100);
  constexpr int producers = 3;
  constexpr int consumers = 3;
  int const each = support::rounds(20'000, 3'000);
  std::vector<std::thread> threads;
  std::atomic<int> producing{producers};
  std::vector<std::vector<std::uint64_t>> got(consumers);
  for (int p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      for (int i = 0; i < each; ++i) {
        std::uint64_t const number = static_cast<std::uint64_t>(p) << 32 | static_cast<unsigned>(i);
        ASSERT_EQ(queue->push(std::as_bytes(std::span(&number, 1)), soon()), Push::done);
      }
      if (--producing == 0) queue->close();
    });
  }
  for (int c = 0; c < consumers; ++c) {
    threads.emplace_back([&, c] {
      for (;;) {
        auto const popped = pop(*queue, soon());
        if (popped.result != Pop::item) break;
        std::uint64_t number = 0;
        ASSERT_EQ(popped.text.size(), sizeof number);
        std::memcpy(&number, popped.text.data(), sizeof number);
        got[static_cast<std::size_t>(c)].push_back(number);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<int> times(static_cast<std::size_t>(producers * each));
  for (auto const& numbers : got) {
    std::vector<std::int64_t> last(producers, -1);
    for (std::uint64_t const number : numbers) {
      auto const p = static_cast<std::size_t>(number >> 32);
      auto const i = static_cast<std::int64_t>(number & 0xffff'ffff);
      ASSERT_LT(last[p], i);
      last[p] = i;
      ++times[p * static_cast<std::size_t>(each) + static_cast<std::size_t>(i)];
    }
  }
  for (int const n : times) ASSERT_EQ(n, 1);
  EXPECT_EQ(queue->lost(), 0u);
}

// Counts of items and units go round.
TEST(QueueOrder, PositionsWrap) {
  auto const queue = make_queue(64, 1 << 20);
  procpool::os::Mapping const view(queue->file(), procpool::os::Access::read_write, 0, 4096);
  auto& shared = *reinterpret_cast<handle::QueueWords*>(view.data());
  auto const near_end = handle::pack(handle::Position{0xffff'fff0, 0xffff'ff00});
  for (auto* const word : {&shared.head, &shared.tail, &shared.head_seen, &shared.tail_seen}) {
    word->store(near_end);
  }
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 40; ++i) ASSERT_EQ(push(*queue, pattern(100, i)), Push::done);
    for (unsigned i = 0; i < 40; ++i) ASSERT_EQ(next(*queue), pattern(100, i));
  }
  ASSERT_EQ(push(*queue, pattern(300'000, 1)), Push::done);
  ASSERT_TRUE(next(*queue) == pattern(300'000, 1));
}

}  // namespace
