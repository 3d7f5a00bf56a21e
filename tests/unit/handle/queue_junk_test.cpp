// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A faulty process writes junk into the memory of a queue. Every call returns within its time, with an
// item, without one, or with QueueBroken; the program lives.
#include "handle/byte_queue.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "queue_support.hpp"
#include "support/build.hpp"
#include "support/seed.hpp"
#include "support/send.hpp"

namespace {

using namespace queue_tests;

class SharedWords {
 public:
  explicit SharedWords(ByteQueue const& queue)
      : view_(queue.file(), procpool::os::Access::read_write, 0, 128 * 1024) {}
  handle::QueueWords& operator*() { return *reinterpret_cast<handle::QueueWords*>(view_.data()); }
  handle::QueueWords* operator->() { return &**this; }
  std::byte* data() { return view_.data(); }

 private:
  procpool::os::Mapping view_;
};

TEST(QueueJunk, WhatCannotBeBreaksTheQueueForAll) {
  using Words = handle::QueueWords;
  using handle::Position;
  struct Row {
    char const* what;
    void (*write)(Words&, std::byte* ring);
    bool push;  // the call that sees it
  };
  static constexpr auto word = [](Position position) { return handle::pack(position); };
  Row const rows[] = {
      {"tail far ahead", [](Words& w, std::byte*) { w.tail = word({5000, 6000}); }, false},
      {"tail behind head", [](Words& w, std::byte*) { w.head = word({9, 30}); }, false},
      {"items without units", [](Words& w, std::byte*) { w.tail = word({5, 0}); }, false},
      {"units without items", [](Words& w, std::byte*) { w.tail = word({0, 7}); }, false},
      {"more items than units", [](Words& w, std::byte*) { w.tail = word({9, 8}); }, false},
      {"a size beyond the record",
       [](Words&, std::byte* ring) { reinterpret_cast<handle::RecordHeader*>(ring)->size = 1000; },
       false},
      {"an enormous size",
       [](Words&, std::byte* ring) {
         reinterpret_cast<handle::RecordHeader*>(ring)->size = ~std::uint64_t{0} - 5;
       },
       false},
      {"another number",
       [](Words&, std::byte* ring) { reinterpret_cast<handle::RecordHeader*>(ring)->number = 7; },
       false},
      {"a span of zero", [](Words& w, std::byte*) { w.span = 0; }, true},
      {"a span of no power", [](Words& w, std::byte*) { w.span = 100'000; }, true},
      {"a span beyond the ring", [](Words& w, std::byte*) { w.span = 1 << 30; }, true},
      {"head ahead of tail",
       [](Words& w, std::byte*) { w.head = w.head_seen = word({1 << 20, 1 << 22}); }, true},
      {"broken", [](Words& w, std::byte*) { w.broken = 1; }, true},
  };
  for (Row const& row : rows) {
    SCOPED_TRACE(row.what);
    auto const queue = make_queue(100, 256 << 10);
    auto const other = adopt(*queue);
    push(*queue, "some text");
    SharedWords words(*queue);
    row.write(*words, words.data() + handle::ring_offset);
    if (row.push) {
      EXPECT_THROW(push(*queue, "x"), procpool::QueueBroken);
    } else {
      EXPECT_THROW(next(*queue), procpool::QueueBroken);
    }
    EXPECT_THROW(next(*other), procpool::QueueBroken);
    EXPECT_THROW(push(*other, "y"), procpool::QueueBroken);
    EXPECT_THROW(queue->size(), procpool::QueueBroken);
    EXPECT_THROW(other->close(), procpool::QueueBroken);
    EXPECT_THROW(static_cast<void>(other->closed()), procpool::QueueBroken);
    EXPECT_THROW(other->lost(), procpool::QueueBroken);
  }
}

// A hand that claims to be larger than any item.
TEST(QueueJunk, AnOrphanOfNoSizeBreaksTheQueue) {
  auto const queue = make_queue(100, 64 << 10, 1);
  SharedWords words(*queue);
  auto& seat = reinterpret_cast<handle::SeatWords*>(words.data() + handle::seats_offset)[3];
  words->seats = 4;
  seat.thread = 0x7fff'fff0;
  seat.size = std::uint64_t{1} << 40;
  seat.hand = handle::pack(handle::HandState{handle::Hold::item, 0, 0});
  EXPECT_THROW(next(*queue, soon()), procpool::QueueBroken);
}

// Junk in one place after the other, and everywhere, by a process that never stops.
class Scribbler {
 public:
  Scribbler(ByteQueue const& queue, unsigned seed, std::size_t bytes)
      : child_([&, seed, bytes] {
          SharedWords words(queue);
          begun(words) = 1;
          std::mt19937_64 random(seed);
          for (;;) {
            std::size_t const place = random() % bytes & ~std::size_t{7};
            std::uint64_t value = random();
            switch (random() % 4) {
              case 0: value &= 0xff; break;
              case 1: value = 0; break;
              case 2: value &= 0xffff'ffff; break;
              default: break;
            }
            reinterpret_cast<std::atomic<std::uint64_t>*>(words.data() + place)->store(value);
            // Some calls go well in between.
            if (random() % 16 == 0) std::this_thread::sleep_for(50us);
          }
          return 0;
        }) {
    SharedWords words(queue);
    support::until([&] { return begun(words) != 0; });
  }

 private:
  // Behind the words of the queue.
  static std::atomic<std::uint64_t>& begun(SharedWords& words) {
    constexpr std::size_t place = handle::seats_offset - sizeof(std::uint64_t);
    static_assert(place >= sizeof(handle::QueueWords));
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(words.data() + place);
  }

  Child child_;
};

TEST(QueueJunk, EveryCallReturnsInTimeUnderAScribbler) {
  unsigned const seed = support::new_seed();
  int broken = 0;
  int items = 0;
  std::chrono::milliseconds longest{0};
  int const rounds = support::rounds(60, 12);
  support::Stopwatch const all;
  // On a busy machine the scribbler needs longer to do harm.
  for (int round = 0; round < rounds || (broken == 0 && all.passed() < support::patience);
       ++round) {
    // Either the words alone, or everything.
    std::size_t const bytes = round % 2 == 0 ? sizeof(handle::QueueWords) : 128 * 1024;
    auto const queue = make_queue(64, 128 << 10, round % 3 == 0 ? 2 : 0);
    Scribbler const scribbler(*queue, seed + static_cast<unsigned>(round), bytes);
    auto const timed = [&](auto const& call) {
      support::Stopwatch const time;
      try {
        call();
      } catch (procpool::QueueBroken const&) {
        ++broken;
        // Mended, to see more.
        SharedWords words(*queue);
        words->broken = 0;
      } catch (procpool::SetupError const&) {  // all seats look taken
      } catch (std::bad_alloc const&) {
      }
      longest = std::max(longest, time.passed());
    };
    std::atomic<bool> over{false};
    std::thread producer([&] {
      while (!over) {
        try {
          queue->push(bytes_of(std::string(200, 'x')), soon(20ms));
        } catch (procpool::QueueBroken const&) {
        }
      }
    });
    for (int i = 0; i < 50; ++i) {
      timed([&] { push(*queue, std::string(static_cast<std::size_t>(i) * 30, 'a')); });
      timed([&] { items += pop(*queue, soon(20ms)).result == Pop::item ? 1 : 0; });
      timed([&] { static_cast<void>(queue->size()); });
      timed([&] { static_cast<void>(queue->drained()); });
      timed([&] { static_cast<void>(queue->lost()); });
      if (i % 10 == 0) timed([&] { queue->done(); });
    }
    over = true;
    producer.join();
  }
  std::cout << items << " items, " << broken << " times broken, longest call " << longest.count()
            << " ms" << std::endl;
  EXPECT_GT(broken, 0);
  EXPECT_LT(longest, 10s);
}

// ---- the tray

class QueueTrayJunk : public testing::Test {
 protected:
  Push push_file(ByteQueue::Deadline const& deadline = soon()) {
    int const fd = file_.fd();
    return queue_->push(bytes_of("x"), deadline, std::span(&fd, 1));
  }
  // With its descriptor.
  bool pop_file() {
    procpool::detail::Bytes bytes;
    std::vector<procpool::os::UniqueFd> descriptors;
    return queue_->pop(bytes, soon(), &descriptors) == Pop::item && descriptors.size() == 1;
  }
  bool send_junk() {
    return ::send(queue_->descriptors()[1], "junk", 4, MSG_DONTWAIT | MSG_NOSIGNAL) == 4;
  }

  procpool::os::Memfd file_ = procpool::os::Memfd::create("procpool-test", 4096);
  std::shared_ptr<ByteQueue> queue_ =
      ByteQueue::create({.type = 1, .items = 64, .bytes = 1 << 16, .redeliver = 0, .tray = 1});
};

TEST_F(QueueTrayJunk, ThatIsShutDownBreaksTheQueue) {
  ASSERT_EQ(push_file(), Push::done);
  ASSERT_EQ(::shutdown(queue_->descriptors()[2], SHUT_RDWR), 0);
  EXPECT_THROW(push_file(), procpool::QueueBroken);
  EXPECT_THROW(pop_file(), procpool::QueueBroken);
}

TEST_F(QueueTrayJunk, ThatWasFilledIsCleared) {
  while (send_junk()) {
  }
  ASSERT_EQ(push_file(), Push::done);
  EXPECT_TRUE(pop_file());
}

TEST_F(QueueTrayJunk, ThatWasFilledBehindAnItemIsClearedWithIt) {
  ASSERT_EQ(push_file(), Push::done);
  while (send_junk()) {
  }
  EXPECT_EQ(push_file(ByteQueue::at_once), Push::full);
  EXPECT_TRUE(pop_file());
  ASSERT_EQ(push_file(), Push::done);
  EXPECT_TRUE(pop_file());
}

TEST_F(QueueTrayJunk, ThatHasTooManyDescriptorsForAnItemCostsThatItemAlone) {
  std::uint32_t const number = 1;  // of the first item with descriptors
  ASSERT_TRUE(support::send_with(queue_->descriptors()[1], std::as_bytes(std::span(&number, 1)),
                                 std::vector<int>(9, file_.fd())));
  ASSERT_EQ(push_file(), Push::done);
  ASSERT_EQ(push_file(), Push::done);
  EXPECT_FALSE(pop_file());
  EXPECT_TRUE(pop_file());
}

TEST_F(QueueTrayJunk, HasNothingOfAnItemThatWasTaken) {
  ASSERT_EQ(push_file(), Push::done);
  ASSERT_TRUE(pop_file());
  char byte = 0;
  EXPECT_EQ(::recv(queue_->descriptors()[2], &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
}

TEST_F(QueueTrayJunk, ThatIsAlwaysFullHoldsUpNobody) {
  std::atomic<bool> over{false};
  std::thread filler([&] {
    while (!over) send_junk();
  });
  try {
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(push_file(), Push::done);
      ASSERT_TRUE(pop_file());
    }
  } catch (procpool::QueueBroken const&) {
  }
  over = true;
  filler.join();
}

}  // namespace
