// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Queue<T> as users have it: how it travels, what it promises, and what becomes of items in the hands of
// tasks that die.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/descriptors.hpp"
#include "support/in_child.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::Queue;
using procpool::QueueOptions;
using procpool::Start;

namespace {

constexpr auto limit = 20s;

procpool::PoolOptions pool_options(Start start, int workers = 2) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.method = start;
  return options;
}

// ---- within one process

TEST(Queue, TakesAndGivesItemsInOrder) {
  Queue<std::string> const queue;
  queue.push("a");
  std::string const b = "b";
  queue.push(b);
  EXPECT_TRUE(queue.try_push("c"));
  EXPECT_TRUE(queue.push_for(1s, "d"));
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_EQ(queue.pop(), "a");
  EXPECT_EQ(queue.try_pop(), "b");
  EXPECT_EQ(queue.pop_for(1s), "c");
  EXPECT_EQ(queue.pop(), "d");
  EXPECT_EQ(queue.try_pop(), std::nullopt);
  EXPECT_EQ(queue.pop_for(1ms), std::nullopt);
}

TEST(Queue, HasItsLimits) {
  Queue<int> const few({.items = 2});
  EXPECT_TRUE(few.try_push(1));
  EXPECT_TRUE(few.try_push(2));
  EXPECT_FALSE(few.try_push(3));
  EXPECT_FALSE(few.push_for(1ms, 3));
  EXPECT_EQ(few.pop(), 1);
  EXPECT_TRUE(few.try_push(3));
  Queue<std::string> const small({.bytes = 1'000});
  EXPECT_THROW(small.push(std::string(1'000, 'x')), std::length_error);
  EXPECT_TRUE(small.try_push(std::string(900, 'x')));
  EXPECT_FALSE(small.try_push(std::string(100, 'x')));
  EXPECT_THROW(Queue<int>({.items = 0}), std::invalid_argument);
  EXPECT_THROW(Queue<int>({.items = -1}), std::invalid_argument);
  EXPECT_THROW(Queue<int>({.bytes = std::uint64_t{1} << 40}), std::invalid_argument);
  EXPECT_THROW(Queue<int>({.redeliver = 70'000}), std::invalid_argument);
}

// A push of what can never fit would wait for ever.
TEST(Queue, HasRoomForAnItem) {
  EXPECT_THROW(Queue<int>({.bytes = 31}), std::invalid_argument);
  Queue<int> const one({.bytes = 32});
  one.push(1);
  EXPECT_FALSE(one.try_push(2));
  EXPECT_EQ(one.pop(), 1);
  struct Large {
    char bytes[1'000];
  };
  EXPECT_THROW(Queue<Large>({.bytes = 1'000}), std::invalid_argument);
  EXPECT_THROW(Queue<std::string>({.bytes = 15}), std::invalid_argument);
  Queue<std::string> const none({.bytes = 16});
  EXPECT_THROW(none.push("x"), std::length_error);
}

TEST(Queue, Closes) {
  Queue<int> const queue;
  queue.push(1);
  EXPECT_FALSE(queue.closed());
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.drained());
  EXPECT_THROW(queue.push(2), procpool::QueueClosed);
  EXPECT_THROW(queue.try_push(2), procpool::QueueClosed);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_TRUE(queue.drained());
}

TEST(Queue, IsARange) {
  Queue<std::unique_ptr<int>> const queue;
  for (int i = 0; i < 5; ++i) queue.push(std::make_unique<int>(i));
  queue.close();
  int sum = 0;
  for (std::unique_ptr<int> item : queue) sum = 10 * sum + *item;
  EXPECT_EQ(sum, 1'234);
  static_assert(std::input_iterator<Queue<int>::Iterator>);
  static_assert(std::sentinel_for<std::default_sentinel_t, Queue<int>::Iterator>);
}

TEST(Queue, ALoopHasAHandleOfItsOwn) {
  auto queue = std::make_optional<Queue<int>>();
  for (int i = 1; i < 4; ++i) queue->push(i);
  queue->close();
  int sum = 0;
  for (int const item : *queue) {
    queue.reset();
    sum = 10 * sum + item;
  }
  EXPECT_EQ(sum, 123);
}

TEST(Queue, ALoopThatIsLeftKeepsItsItemInHand) {
  Queue<int> const queue({.redeliver = 1});
  queue.push(1);
  queue.close();
  for (int const item : queue) {
    EXPECT_EQ(item, 1);
    if (item == 1) break;
  }
  EXPECT_FALSE(queue.drained());
  queue.done();
  EXPECT_TRUE(queue.drained());
}

// Its code drops the handle through which it is pushed.
struct DropsItsQueue {
  static inline std::optional<Queue<DropsItsQueue>> last{};
  int value = 0;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if constexpr (Archive::is_saving::value) last.reset();
    archive & value;
  }
};

TEST(Queue, ThatIsDroppedWhileAnItemIsEncodedTakesTheItem) {
  DropsItsQueue::last.emplace();
  Queue<DropsItsQueue> const other = *DropsItsQueue::last;
  DropsItsQueue::last->push(DropsItsQueue{3});
  EXPECT_EQ(other.pop()->value, 3);
  DropsItsQueue::last.emplace();
  DropsItsQueue::last->push(DropsItsQueue{4});  // nobody gets it
  EXPECT_FALSE(DropsItsQueue::last);
}

TEST(Queue, CopiesAreTheSameQueue) {
  Queue<int> queue;
  Queue<int> const copy = queue;
  queue.push(7);
  EXPECT_EQ(copy.pop(), 7);
  Queue<int> const moved = std::move(queue);
  EXPECT_THROW(queue.push(1), std::logic_error);  // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(static_cast<void>(queue.pop()), std::logic_error);
  moved.push(8);
  EXPECT_EQ(copy.pop(), 8);
}

// A value that cannot be decoded costs the item alone.
struct Fragile {
  int value = 0;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
    if constexpr (Archive::is_saving::value) {
      if (value == 13) throw std::runtime_error("not this one");
    } else {
      if (value == 7) throw std::runtime_error("broken");
    }
  }
};

TEST(Queue, AnItemThatCannotBeDecodedCostsItselfAlone) {
  Queue<Fragile> const queue;
  for (int const value : {1, 7, 2}) queue.push(Fragile{value});
  EXPECT_THROW(queue.push(Fragile{13}), std::runtime_error);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.pop()->value, 1);
  EXPECT_THROW(static_cast<void>(queue.pop()), std::runtime_error);
  EXPECT_EQ(queue.pop()->value, 2);
}

// Finds no memory for its text, as often as `shortages` says.
int shortages = 0;
struct Scarce {
  std::string text;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if constexpr (!Archive::is_saving::value) {
      if (shortages != 0 && shortages-- != 0) throw std::bad_alloc();
    }
    archive & text;
  }
};

TEST(Queue, AnItemThatFindsNoMemoryIsGivenOnceMore) {
  for (unsigned const redeliver : {0u, 1u}) {
    Queue<Scarce> const queue{{.redeliver = redeliver}};
    for (std::string const text : {"a", "b", "c", "d"}) queue.push(Scarce{text});
    shortages = 1;
    EXPECT_THROW(static_cast<void>(queue.pop()), std::bad_alloc);
    EXPECT_EQ(queue.try_pop()->text, "a");
    // One that never finds memory does not stop the queue.
    shortages = 2;
    EXPECT_THROW(static_cast<void>(queue.pop()), std::bad_alloc);
    EXPECT_THROW(static_cast<void>(queue.pop()), std::bad_alloc);
    EXPECT_EQ(queue.pop()->text, "c");
    // done() gives it up.
    shortages = 1;
    EXPECT_THROW(static_cast<void>(queue.pop()), std::bad_alloc);
    queue.done();
    EXPECT_FALSE(queue.try_pop());
    EXPECT_EQ(queue.lost(), 0u);
  }
}

TEST(Queue, AFaultyProcessBreaksIt) {
  Queue<int> const queue;
  // Whoever has the queue can open its memory.
  for (int const fd : support::numbers_in("/proc/self/fd")) {
    std::string const path = "/proc/self/fd/" + std::to_string(fd);
    std::error_code none;
    auto const target = std::filesystem::read_symlink(path, none).string();
    if (target.find("procpool queue") == std::string::npos) continue;
    std::string const junk(4'000, '\x5a');
    ASSERT_EQ(::pwrite(fd, junk.data(), junk.size(), 64), 4'000);
  }
  EXPECT_THROW(queue.push(1), procpool::QueueBroken);
  EXPECT_THROW(static_cast<void>(queue.pop_for(1s)), procpool::QueueBroken);
}

// ---- between processes

void produce(Queue<int> const& queue, int count) {
  for (int i = 0; i < count; ++i) queue.push(i);
}

long consume(Queue<int> queue) {
  long sum = 0;
  for (int const item : queue) sum += item;
  return sum;
}

struct Job {
  std::string name;
  Queue<int> queue;
};

void produce_for(Job const& job, int count) { produce(job.queue, count); }
void produce_into(std::vector<Queue<int>> const& queues, int count) {
  for (auto const& queue : queues) produce(queue, count);
}
void produce_if(std::optional<Queue<int>> const& queue, int count) {
  if (queue) produce(*queue, count);
}

// With a serialize of its own.
struct Assignment {
  Queue<int> queue;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & queue;
  }
};
void produce_by(Assignment const& assignment, int count) { produce(assignment.queue, count); }

struct Producer {
  Queue<int> queue;
  void operator()(int count) const { produce(queue, count); }
};

void produce_in_nested(Queue<int> const& queue, int count) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  pool.submit<produce>(queue, count).get();
}

Queue<int> make_queue_of(int count) {
  Queue<int> queue;
  produce(queue, count);
  return queue;
}

Queue<int> hand_back(Queue<int> const& queue) { return queue; }

class QueueInPool : public testing::TestWithParam<Start> {
 protected:
  static void expect_produced(Queue<int> const& items) {
    for (int i = 0; i < each; ++i) ASSERT_EQ(items.pop_for(limit), i);
    EXPECT_EQ(items.try_pop(), std::nullopt);
  }

  static constexpr int each = 100;
  procpool::ProcessPool pool{pool_options(GetParam())};
  Queue<int> queue;
};

TEST_P(QueueInPool, TravelsByEachWay) {
  pool.submit<produce>(queue, each).get();
  expect_produced(queue);
  pool.submit<produce_for>(Job{"job", queue}, each).get();
  expect_produced(queue);
  Queue<int> const second;
  pool.submit<produce_into>(std::vector{queue, second}, each).get();
  expect_produced(queue);
  expect_produced(second);
  pool.submit<produce_if>(std::optional(queue), each).get();
  expect_produced(queue);
  pool.submit<produce_by>(Assignment{queue}, each).get();
  expect_produced(queue);
  pool.submit(Producer{queue}, each).get();
  expect_produced(queue);
  pool.submit(procpool::bind_back<produce>(each), queue).get();
  expect_produced(queue);
  pool.submit(procpool::bind_front<produce>(queue), each).get();
  expect_produced(queue);
  auto const shared = pool.share(Job{"shared", queue});
  pool.submit<produce_for>(shared, each).get();
  expect_produced(queue);
  if (GetParam() != Start::in_process) {
    pool.submit<produce_in_nested>(queue, each).get();
    expect_produced(queue);
  }
  expect_produced(pool.submit<make_queue_of>(each).get());
  auto const same = pool.submit<hand_back>(queue).get();
  queue.push(5);
  EXPECT_EQ(same.pop(), 5);
}

TEST_P(QueueInPool, FeedsConsumersInWorkers) {
  if (GetParam() == Start::in_process) {
    produce(queue, 1'000);
    queue.close();
    EXPECT_EQ(pool.submit<consume>(queue).get(), 499'500);
    return;
  }
  auto first = pool.submit<consume>(queue);
  auto second = pool.submit<consume>(queue);
  produce(queue, 1'000);
  queue.close();
  EXPECT_EQ(first.get() + second.get(), 499'500);
  EXPECT_TRUE(queue.drained());
  EXPECT_EQ(queue.lost(), 0u);
}

// The item is done with the element, although its thread lives on.
TEST_P(QueueInPool, AHandIsEmptyBehindItsElement) {
  Queue<int> const again({.redeliver = 3});
  again.push(1);
  auto const take = [](Queue<int> const& items) { return *items.pop(); };
  EXPECT_EQ(pool.submit(take, again).get(), 1);
  again.close();
  EXPECT_TRUE(support::until([&] { return again.drained(); }));
  EXPECT_EQ(again.pop(), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Start, QueueInPool, support::every_start(), support::start_name);

// ---- consumers that die

int take_and_die(Queue<std::string> const& queue) {
  auto const item = queue.pop();
  ::raise(SIGKILL);
  return static_cast<int>(item->size());
}

// Elements of fixed size, several in a chunk: the queue is in the functor.
struct Eater {
  Queue<int> queue;
  int operator()(int deadly) const {
    if (deadly == 2) ::raise(SIGKILL);
    return queue.pop().value_or(-1);
  }
};

TEST(QueueOfTasks, AnItemInADeadHandIsLostOrGivenAgain) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<std::string> const once;
  once.push("a");
  once.push("b");
  EXPECT_THROW(pool.submit<take_and_die>(once).get(), procpool::WorkerDied);
  EXPECT_EQ(once.lost(), 1u);
  EXPECT_EQ(once.pop(), "b");
  Queue<std::string> const again({.redeliver = 2});
  again.push("a");
  again.push("b");
  EXPECT_THROW(pool.submit<take_and_die>(again).get(), procpool::WorkerDied);
  EXPECT_THROW(pool.submit<take_and_die>(again).get(), procpool::WorkerDied);
  EXPECT_EQ(again.pop_for(limit), "a");
  EXPECT_EQ(again.attempts(), 2u);
  EXPECT_EQ(again.pop_for(limit), "b");
  EXPECT_EQ(again.attempts(), 0u);
  again.push("poison");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.submit<take_and_die>(again).get(), procpool::WorkerDied);
  }
  EXPECT_EQ(again.pop_for(300ms), std::nullopt);
  EXPECT_EQ(again.lost(), 1u);
}

TEST(QueueOfTasks, AnElementThatHasEndedHoldsNothing) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<int> const queue;
  // Another element makes the worker know that elements take items.
  queue.push(0);
  EXPECT_EQ(pool.submit(Eater{queue}, 1).get(), 0);
  for (int i = 1; i < 6; ++i) queue.push(i);
  auto const outcomes =
      pool.with({.chunk = 4}).outcomes().map(Eater{queue}, std::vector<int>{1, 1, 2, 1});
  EXPECT_TRUE(outcomes[0].has_value());
  EXPECT_TRUE(outcomes[1].has_value());
  EXPECT_FALSE(outcomes[2].has_value());
  EXPECT_EQ(queue.lost(), 0u);
}

int take_and_throw(Queue<int> const& queue) {
  static_cast<void>(queue.pop());
  throw std::runtime_error("no");
}

TEST(QueueOfTasks, AnElementThatThrowsHasEnded) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<int> const queue({.redeliver = 5});
  queue.push(1);
  EXPECT_THROW(pool.submit<take_and_throw>(queue).get(), std::runtime_error);
  queue.close();
  EXPECT_TRUE(support::until([&] { return queue.drained(); }));
  EXPECT_EQ(queue.lost(), 0u);
}

int take_and_exit(Queue<int> const& queue) {
  static_cast<void>(queue.pop());
  std::exit(3);
}

TEST(QueueOfTasks, AnElementThatExitsHasNotEnded) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<int> const queue;
  queue.push(1);
  EXPECT_THROW(pool.submit<take_and_exit>(queue).get(), procpool::WorkerDied);
  EXPECT_EQ(queue.lost(), 1u);
}

// A producer and a consumer wait for each other within one pool.
TEST(QueueOfTasks, BackPressureHoldsTheProducer) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 2)};
  Queue<int> const queue({.items = 4});
  auto producer = pool.submit<produce>(queue, 2'000);
  for (int i = 0; i < 2'000; ++i) ASSERT_EQ(queue.pop_for(limit), i);
  producer.get();
}

// ---- items that hold handles

// With a serialize, nobody can tell whether it holds a handle.
struct Hidden {
  procpool::Shared<std::string> text;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & text;
  }
};

struct Parcel {
  std::string name;
  procpool::Shared<std::string> text;
  procpool::SharedArray<int> numbers;
  Queue<int> answers;
};

int open_parcels(Queue<Parcel> const& parcels) {
  int opened = 0;
  for (Parcel const& parcel : parcels) {
    parcel.answers.push(parcel.numbers[1] + static_cast<int>(parcel.text->size()));
    ++opened;
  }
  return opened;
}

// Makes things in a worker, and lets go of them.
void send_parcels(Queue<Parcel> const& parcels, procpool::Shared<std::string> const& text,
                  Queue<int> const& answers, int count) {
  for (int i = 0; i < count; ++i) {
    procpool::SharedArray<int> numbers(2);
    numbers[1] = i;
    parcels.push(Parcel{"parcel", text, numbers, answers});
  }
}

TEST(QueueOfHandles, CarriesThemFromAnyProcessToAny) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 2)};
  auto const text = pool.share(std::string("four"));
  Queue<Parcel> const parcels({.items = 8});
  Queue<int> const answers;
  auto sent = pool.submit<send_parcels>(parcels, text, answers, 50);
  auto opened = pool.submit<open_parcels>(parcels);
  sent.get();
  parcels.close();
  EXPECT_EQ(opened.get(), 50);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(answers.pop_for(limit), i + 4);
}

TEST(QueueOfHandles, WithinOneProcessTheyAreTheSame) {
  procpool::ProcessPool pool{pool_options(Start::in_process)};
  Queue<Hidden> const hidden;
  hidden.push(Hidden{pool.share(std::string("hidden"))});
  EXPECT_EQ(*hidden.pop()->text, "hidden");
  Queue<Queue<int>> const queues;
  Queue<int> const queue;
  queues.push(queue);
  queue.push(3);
  EXPECT_EQ(queues.pop()->pop(), 3);
  Queue<std::optional<procpool::SharedArray<int>>> const arrays;
  procpool::SharedArray<int> const array(3);
  arrays.push(array);
  arrays.push(std::nullopt);
  (**arrays.pop())[2] = 9;
  EXPECT_EQ(array[2], 9);
  EXPECT_EQ(*arrays.pop(), std::nullopt);
}

TEST(QueueOfHandles, TooManyAreRefused) {
  Queue<std::vector<procpool::SharedArray<int>>> const queue;
  std::vector<procpool::SharedArray<int>> arrays;
  for (int i = 0; i < 8; ++i) arrays.emplace_back(1);
  EXPECT_TRUE(queue.try_push(arrays));
  arrays.emplace_back(1);
  EXPECT_THROW(queue.push(arrays), procpool::SerializationError);
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.pop()->size(), 8u);
}

int take_array_and_die(Queue<procpool::SharedArray<int>> const& queue) {
  auto const array = queue.pop();
  ::raise(SIGKILL);
  return (*array)[0];
}

// Its descriptors have gone with the dead.
TEST(QueueOfHandles, SuchAnItemIsNotGivenAgain) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<procpool::SharedArray<int>> const queue({.redeliver = 5});
  queue.push(procpool::SharedArray<int>(1));
  queue.push(procpool::SharedArray<int>(2));
  EXPECT_THROW(pool.submit<take_array_and_die>(queue).get(), procpool::WorkerDied);
  EXPECT_EQ(queue.pop_for(limit)->size(), 2u);
  EXPECT_EQ(queue.lost(), 1u);
}

void answer_each(Queue<procpool::PipeEnd<int>> const& ends) {
  for (procpool::PipeEnd<int> end : ends) {
    for (int i = 0; i < 3; ++i) end.send(i);
  }
}

TEST(QueueOfHandles, CarriesEndsOfPipes) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 1)};
  Queue<procpool::PipeEnd<int>> const queue;
  auto served = pool.submit<answer_each>(queue);
  for (int round = 0; round < 3; ++round) {
    auto [here, there] = procpool::make_pipe<int>();
    queue.push(std::move(there));
    EXPECT_FALSE(there.valid());  // NOLINT(bugprone-use-after-move)
    for (int i = 0; i < 3; ++i) EXPECT_EQ(here.receive_for(limit), i);
    EXPECT_EQ(here.receive_for(limit), std::nullopt);
    EXPECT_TRUE(here.peer_gone());
  }
  queue.close();
  served.get();
  auto [here, there] = procpool::make_pipe<int>();
  EXPECT_THROW(queue.push(std::move(there)), procpool::QueueClosed);
  ASSERT_TRUE(there.valid());
  there.send(7);
  EXPECT_EQ(here.receive_for(limit), 7);
}

// More descriptors than may be on their way: the producer waits.
TEST(QueueOfHandles, ManyOnTheirWayWait) {
  Queue<procpool::SharedArray<int>> const queue({.items = 100'000});
  std::thread producer([&] {
    for (int i = 0; i < 2'000; ++i) {
      procpool::SharedArray<int> array(1);
      array[0] = i;
      queue.push(array);
    }
  });
  for (int i = 0; i < 2'000; ++i) {
    auto const array = queue.pop_for(limit);
    ASSERT_TRUE(array);
    ASSERT_EQ((*array)[0], i);
  }
  producer.join();
}

// The kernel finds cycles of sockets that are on their way through themselves.
TEST(QueueOfHandles, CyclesAreCollected) {
  struct Knot {
    std::optional<Queue<Knot>> inner;
  };
  auto const tie = [] {
    Queue<Knot> const queue;
    queue.push(Knot{queue});
  };
  tie();
  auto const before = support::descriptors_of(::getpid()).size();
  for (int i = 0; i < 200; ++i) tie();
  EXPECT_TRUE(
      support::until([&] { return support::descriptors_of(::getpid()).size() <= before + 2; }));
}

// ---- what is left

TEST(QueueOfTasks, LeavesNothing) {
  procpool::ProcessPool pool{pool_options(Start::spawn, 2)};
  auto const use = [&] {
    Queue<int> const queue;
    pool.submit<produce>(queue, 10).get();
  };
  for (int i = 0; i < 3; ++i) use();
  auto const before = support::descriptors_of(::getpid()).size();
  for (int i = 0; i < 100; ++i) use();
  EXPECT_LE(support::descriptors_of(::getpid()).size(), before + 2);
  EXPECT_TRUE(support::until([&] { return !support::maps(::getpid(), "procpool queue"); }));
}

TEST(QueueOfTasks, AForkedChildUsesIt) {
  Queue<int> const queue;
  queue.push(1);
  EXPECT_EQ(support::in_child([&] {
              if (queue.pop() != 1) throw 0;
              queue.push(2);
            }),
            'v');
  EXPECT_EQ(queue.pop_for(limit), 2);
}

}  // namespace
