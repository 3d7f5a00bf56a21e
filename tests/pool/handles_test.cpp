// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Handles of all kinds together: nothing is left of them, whatever ends first, and what a dead worker
// made is not taken for something else.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/descriptors.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::make_pipe;
using procpool::PipeEnd;
using procpool::ProcessPool;
using procpool::Queue;
using procpool::Shared;
using procpool::SharedArray;
using procpool::SharedValue;

namespace {

struct All {
  Shared<std::string> value;
  SharedArray<int> array;
  SharedValue<int> number{0};
  Queue<int> queue;
  std::vector<PipeEnd<int>> ends;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value & array & number & queue & ends;
  }
};

All all_of(ProcessPool& pool, PipeEnd<int> end) {
  All all{
      pool.share(std::string("value")), SharedArray<int>(4), SharedValue<int>(1), Queue<int>(), {}};
  all.ends.push_back(std::move(end));
  return all;
}

int use(All all) {
  all.array[1] = 11;
  all.number.store(12);
  all.queue.push(13);
  all.ends.at(0).send(14);
  return static_cast<int>(all.value->size());
}

// The memory of handles of this program, in this process and in its children.
std::size_t memory_files() {
  std::size_t count = 0;
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    count += support::is_memory_of_a_pool(target) ? 1 : 0;
  }
  return count;
}

class HandlesByStart : public testing::TestWithParam<procpool::Start> {
 protected:
  ProcessPool pool_{procpool::PoolOptions{.workers = 2, .start = {.method = GetParam()}}};
};

TEST_P(HandlesByStart, OfAllKindsGoInOneStruct) {
  auto [here, there] = make_pipe<int>();
  All all = all_of(pool_, std::move(there));
  auto const array = all.array;
  auto const number = all.number;
  auto const queue = all.queue;
  EXPECT_EQ(pool_.call<use>(std::move(all)), 5);
  EXPECT_EQ(array[1], 11);
  EXPECT_EQ(number.load(), 12);
  EXPECT_EQ(queue.pop(), 13);
  EXPECT_EQ(here.receive(), 14);
}

TEST_P(HandlesByStart, OfAllKindsComeBackFromThePoolInATask) {
  auto const outer = [](SharedArray<int> const& array, Queue<int> const& queue) {
    ProcessPool inner{1};
    auto const both = [](SharedArray<int> const& a, Queue<int> const& q) {
      a[0] = 5;
      q.push(6);
      return std::pair(a, q);
    };
    return inner.call(both, array, queue);
  };
  SharedArray<int> const array(1);
  Queue<int> const queue;
  auto const [same_array, same_queue] = pool_.call(outer, array, queue);
  EXPECT_EQ(same_array.data(), array.data());
  EXPECT_EQ(array[0], 5);
  EXPECT_EQ(same_queue.pop(), 6);
}

INSTANTIATE_TEST_SUITE_P(Handles, HandlesByStart, support::every_start(), support::start_name);

TEST(Handles, LeaveNothingBehindManyKills) {
  std::size_t const before = memory_files();
  auto const descriptors = support::descriptors_of(::getpid()).size();
  {
    ProcessPool pool{2};
    for (int i = 0; i < 100; ++i) {
      auto [here, there] = make_pipe<int>();
      All all = all_of(pool, std::move(there));
      auto dies = pool.submit(
          [](All given) {
            given.queue.push(1);
            ::raise(SIGKILL);
          },
          std::move(all));
      EXPECT_THROW(dies.get(), procpool::WorkerDied);
      EXPECT_EQ(here.receive_for(10s), std::nullopt);
    }
  }
  EXPECT_EQ(memory_files(), before);
  EXPECT_EQ(support::descriptors_of(::getpid()).size(), descriptors);
}

// A queue in itself, and two in each other: sockets that are sent through themselves are the kernel's to
// collect.
TEST(Handles, InCyclesAreCollected) {
  auto const descriptors = support::descriptors_of(::getpid()).size();
  for (int i = 0; i < 50; ++i) {
    Queue<Queue<int>> const outer;
    outer.push(Queue<int>());
    auto [one, other] = make_pipe<PipeEnd<int>>();
    auto [inner, rest] = make_pipe<int>();
    one.send(rest);
  }
  // Sockets with packets that nobody took are closed on threads of their own.
  EXPECT_TRUE(
      support::until([&] { return support::descriptors_of(::getpid()).size() == descriptors; }));
}

// Worker numbers come again; what is made then has ids of its own.
TEST(Handles, OfDeadWorkersAreNotConfused) {
  ProcessPool pool{1};
  std::vector<SharedArray<int>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(pool.call(
        [](int number) {
          SharedArray<int> made(1);
          made[0] = number;
          return made;
        },
        i));
    auto dies = pool.submit([] { ::raise(SIGKILL); });
    EXPECT_THROW(dies.get(), procpool::WorkerDied);
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)][0], i);
}

// A task keeps what it made in a static object and returns it again and again, while the program lets it
// go each time.
TEST(Handles, KeptByAWorkerComeBackEachTime) {
  ProcessPool pool{1};
  auto const same = [] {
    static SharedArray<int> const kept(1);
    ++kept[0];
    return kept;
  };
  for (int i = 1; i <= 200; ++i) EXPECT_EQ(pool.call(same)[0], i);
}

TEST(Handles, MoreThanAResultMayHaveAreAnError) {
  ProcessPool pool{1};
  auto const make = [](int count) {
    std::vector<SharedArray<int>> made;
    for (int i = 0; i < count; ++i) made.emplace_back(1);
    return made;
  };
  EXPECT_EQ(pool.call(make, 256).size(), 256u);
  try {
    pool.call(make, 257);
    FAIL();
  } catch (procpool::SerializationError const& error) {
    EXPECT_TRUE(std::string(error.what()).find("at most 256") != std::string::npos) << error.what();
  }
  EXPECT_EQ(pool.call(make, 2).size(), 2u);
}

// The program's hold ends with its handle, and that of an idle worker soon after.
TEST(Handles, AnIdleWorkerLetsGo) {
  ProcessPool pool{1};
  auto worker = pool.call([] { return ::getpid(); });
  {
    SharedArray<int> const array(1);
    pool.call([](SharedArray<int> const& given) { given[0] = 1; }, array);
  }
  auto const held = [worker] {
    std::size_t count = 0;
    for (auto const& [number, target] : support::descriptors_of(worker)) {
      count += target.find("procpool shared") != std::string::npos ? 1 : 0;
    }
    return count;
  };
  EXPECT_TRUE(support::until([&] { return held() == 0; }));
}

}  // namespace
