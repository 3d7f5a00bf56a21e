// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Pipes: values in order, both ways, of any size; one owner of an end, wherever it is; and the end of
// the stream, however the other owner ends.

#include <procpool/pipe.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <new>
#include <optional>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/start.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::make_pipe;
using procpool::PipeClosed;
using procpool::PipeEnd;
using procpool::ProcessPool;

namespace {

int sum_of(PipeEnd<int> numbers) {
  int sum = 0;
  while (auto const number = numbers.receive()) sum += *number;
  return sum;
}

void send_range(PipeEnd<int> to, int count) {
  for (int i = 0; i < count; ++i) to.send(i);
}

std::string echo_all(PipeEnd<std::string> with) {
  int count = 0;
  while (auto const text = with.receive()) {
    with.send(*text);
    ++count;
  }
  return std::to_string(count);
}

struct Holder {
  std::string name;
  std::vector<PipeEnd<int>> ends;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & name & ends;
  }
};

struct Refuses {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::runtime_error("not today");
  }
};

int first_of(Holder holder) { return holder.ends.at(1).receive().value_or(-1); }

// ---- within a process

TEST(Pipe, GivesEachValueOnceInOrderAndBothWays) {
  auto [here, there] = make_pipe<int, std::string>();
  for (int i = 0; i < 1'000; ++i) here.send(i);
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(there.receive(), i);
  EXPECT_EQ(there.try_receive(), std::nullopt);
  there.send("back");
  EXPECT_EQ(here.receive(), "back");
}

TEST(Pipe, ValuesOfAnySizeGoThrough) {
  for (std::size_t const size :
       {0u, 1u, 7u, 8u, 9u, 65'000u, 65'528u, 65'536u, 65'537u, 1'000'003u, 20'000'000u}) {
    auto [here, there] = make_pipe<std::string>();
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 256);
    std::jthread const sender([&here, &text] {
      for (int i = 0; i < 3; ++i) here.send(text);
    });
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(there.receive() == text) << size;
  }
}

TEST(Pipe, TheRingIsUsedAgainAndAgain) {
  auto [here, there] = make_pipe<std::string>();
  std::jthread const sender([&here] {
    for (std::size_t i = 0; i < 20'000; ++i) here.send(std::string(i % 97, 'a'));
    here.close();
  });
  std::size_t i = 0;
  while (auto const text = there.receive()) ASSERT_EQ(text->size(), i++ % 97);
  EXPECT_EQ(i, 20'000u);
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

TEST(Pipe, AValueThatFindsNoMemoryIsReceivedOnceMore) {
  auto [here, there] = make_pipe<Scarce>();
  for (std::string const text : {"a", "b", "c"}) there.send(Scarce{text});
  shortages = 1;
  EXPECT_THROW(static_cast<void>(here.receive()), std::bad_alloc);
  EXPECT_EQ(here.try_receive()->text, "a");
  // One that never finds memory does not stop the pipe.
  shortages = 2;
  EXPECT_THROW(static_cast<void>(here.receive()), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(here.receive()), std::bad_alloc);
  shortages = 1;
  EXPECT_THROW(static_cast<void>(here.receive()), std::bad_alloc);
  // It belongs to this end, which stays.
  ProcessPool pool{1};
  auto const drop = [](PipeEnd<Scarce>) {};
  EXPECT_THROW(static_cast<void>(pool.submit(drop, std::move(here))), procpool::SerializationError);
  EXPECT_EQ(here.receive()->text, "c");
}

TEST(Pipe, WaitsNoLongerThanItIsTold) {
  auto [here, there] = make_pipe<int>();
  auto const begin = std::chrono::steady_clock::now();
  EXPECT_EQ(there.receive_for(30ms), std::nullopt);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
  EXPECT_FALSE(there.peer_gone());
  here.send(1);
  EXPECT_EQ(there.receive_for(10s), 1);
  EXPECT_EQ(there.receive_for(-1s), std::nullopt);
}

TEST(Pipe, WithoutWaitingItDoesNotWait) {
  auto [here, there] = make_pipe<int>();
  auto const begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(there.try_receive(), std::nullopt);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s)
      << "a tenth of a second each would be 20 s";
}

TEST(Pipe, AForkedChildDoesNotCloseTheEndsOfItsParent) {
  auto [here, there] = make_pipe<int>();
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    {
      auto const mine = std::move(there);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  here.send(5);
  EXPECT_EQ(there.receive(), 5);
  EXPECT_FALSE(here.peer_gone());
}

TEST(Pipe, AnEndThatHoldsHandlesGoesAwayWithThem) {
  ProcessPool pool{1};
  using Array = procpool::SharedArray<int>;
  auto [here, there] = make_pipe<Array>();
  for (int i = 0; i < 3; ++i) {
    Array array(1);
    array[0] = i;
    here.send(array);
  }
  EXPECT_EQ((*there.receive())[0], 0);
  auto const rest = [](PipeEnd<Array> end) {
    int const one = (*end.receive())[0];
    return 10 * one + (*end.receive())[0];
  };
  EXPECT_EQ(pool.call(rest, std::move(there)), 12);
}

TEST(Pipe, AFailedCallWithAnEndIsNotTriedAgain) {
  for (auto const start : {procpool::Start::spawn, procpool::Start::in_process}) {
    ProcessPool pool{procpool::PoolOptions{.workers = 1, .start = {.method = start}}};
    auto [here, there] = make_pipe<int>();
    auto const fails = [](PipeEnd<int>) -> int { throw std::runtime_error("once"); };
    auto const again = procpool::CallOptions{
        .retries = {.times = 3, .also_on = procpool::thrown<std::runtime_error>()}};
    EXPECT_THROW(pool.with(again).call(fails, std::move(there)), std::runtime_error);
    EXPECT_EQ(here.receive(), std::nullopt);
  }
}

TEST(Pipe, AClosedEndIsHeardAfterAllThatWasSent) {
  auto [here, there] = make_pipe<int>();
  here.send(1);
  here.send(2);
  here.close();
  here.close();
  EXPECT_FALSE(here.valid());
  EXPECT_THROW(here.send(3), std::logic_error);
  EXPECT_TRUE(there.peer_gone());
  EXPECT_EQ(there.receive(), 1);
  EXPECT_EQ(there.receive(), 2);
  EXPECT_EQ(there.receive(), std::nullopt);
  EXPECT_EQ(there.receive(), std::nullopt);
  EXPECT_THROW(there.send(4), PipeClosed);
}

TEST(Pipe, ASenderThatWaitsForRoomHearsThatTheReaderIsGone) {
  auto [here, there] = make_pipe<std::string>();
  std::jthread const sender(
      [&here] { EXPECT_THROW(for (;;) here.send(std::string(10'000, 'x')), PipeClosed); });
  ASSERT_TRUE(there.receive().has_value());
  there.close();
}

TEST(Pipe, ItsDescriptorTellsOfNews) {
  auto [here, there] = make_pipe<int>();
  EXPECT_EQ(there.try_receive(), std::nullopt);
  pollfd one{there.native_handle(), POLLIN, 0};
  EXPECT_EQ(::poll(&one, 1, 0), 0);
  here.send(1);
  EXPECT_EQ(::poll(&one, 1, 10'000), 1);
  EXPECT_EQ(there.try_receive(), 1);
  EXPECT_EQ(there.try_receive(), std::nullopt);
  EXPECT_EQ(::poll(&one, 1, 0), 0);
  here.close();
  EXPECT_EQ(::poll(&one, 1, 10'000), 1);
}

TEST(Pipe, AMovedEndIsEmptyAndWhatItReplacesIsClosed) {
  auto [here, there] = make_pipe<int>();
  auto [other_here, other_there] = make_pipe<int>();
  other_here = std::move(here);
  EXPECT_EQ(other_there.receive(), std::nullopt);
  EXPECT_THROW(here.send(1), std::logic_error);
  EXPECT_THROW(PipeEnd<int>().receive(), std::logic_error);
  other_here.send(7);
  EXPECT_EQ(there.receive(), 7);
}

// ---- to other processes

class PipeToATask : public testing::TestWithParam<procpool::Start> {
 protected:
  ProcessPool pool_{procpool::PoolOptions{.workers = 2, .start = {.method = GetParam()}}};
};

TEST_P(PipeToATask, WhatIsGivenAwayIsGoneHere) {
  auto [here, there] = make_pipe<int>();
  for (int i = 1; i <= 1'000; ++i) here.send(i);
  here.close();
  auto sum = pool_.submit<sum_of>(std::move(there));
  EXPECT_FALSE(there.valid());
  EXPECT_THROW(there.receive(), std::logic_error);
  EXPECT_EQ(sum.get(), 500'500);
}

TEST_P(PipeToATask, BothEndsBetweenTwoTasks) {
  if (GetParam() == procpool::Start::in_process) GTEST_SKIP() << "one task at a time";
  auto [here, there] = make_pipe<int>();
  auto sum = pool_.submit<sum_of>(std::move(there));
  auto sent = pool_.submit<send_range>(std::move(here), 60'000);
  sent.get();
  EXPECT_EQ(sum.get(), 1'799'970'000);
}

TEST_P(PipeToATask, ThereAndBack) {
  if (GetParam() == procpool::Start::in_process) GTEST_SKIP() << "the call would wait for itself";
  auto [here, there] = make_pipe<std::string>();
  auto count = pool_.submit<echo_all>(std::move(there));
  for (std::size_t const size : {1u, 100u, 70'000u, 1'000'000u}) {
    here.send(std::string(size, 'e'));
    EXPECT_EQ(here.receive()->size(), size);
  }
  here.close();
  EXPECT_EQ(count.get(), "4");
}

TEST_P(PipeToATask, WithinAStructAndAVector) {
  auto [here, there] = make_pipe<int>();
  auto [unused, other] = make_pipe<int>();
  Holder holder{"two", {}};
  holder.ends.push_back(std::move(other));
  holder.ends.push_back(std::move(there));
  here.send(42);
  auto first = pool_.submit<first_of>(std::move(holder));
  EXPECT_EQ(first.get(), 42);
  EXPECT_EQ(unused.receive(), std::nullopt);
}

TEST_P(PipeToATask, AnEndThatATaskMakesComesBack) {
  auto const make = [] {
    auto [here, there] = make_pipe<int>();
    for (int i = 0; i < 5; ++i) there.send(i);
    return std::move(here);
  };
  auto end = pool_.call(make);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(end.receive(), i);
  EXPECT_EQ(end.receive(), std::nullopt);
}

TEST_P(PipeToATask, AnEndGoesThereAndComesBackInTheState) {
  auto [here, there] = make_pipe<int>();
  for (int i = 0; i < 4; ++i) here.send(i);
  auto const take_two = [](PipeEnd<int> end) {
    int const sum = end.receive().value() + end.receive().value();
    return std::pair(sum, std::move(end));
  };
  auto [sum, back] = pool_.call(take_two, std::move(there));
  EXPECT_EQ(sum, 1);
  auto [sum_2, back_2] = pool_.call(take_two, std::move(back));
  EXPECT_EQ(sum_2, 5);
  here.send(9);
  EXPECT_EQ(back_2.receive(), 9);
}

TEST_P(PipeToATask, AMapOverManyEnds) {
  constexpr int count = 300;
  std::vector<PipeEnd<int>> here;
  std::vector<PipeEnd<int>> there;
  for (int i = 0; i < count; ++i) {
    auto [one, other] = make_pipe<int>();
    one.send(i);
    one.close();
    there.push_back(std::move(other));
  }
  auto const sums = pool_.map<sum_of>(there);
  for (int i = 0; i < count; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], i);
}

// The next element of its map waits meanwhile.
TEST(Pipe, ADeathInAMapEndsTheStreamOfItsElement) {
  ProcessPool pool{1};
  auto [first, first_there] = make_pipe<int>();
  auto [second, second_there] = make_pipe<int>();
  std::vector<PipeEnd<int>> there;
  there.push_back(std::move(first_there));
  there.push_back(std::move(second_there));
  auto const receive = [](PipeEnd<int> end) {
    int const received = *end.receive();
    if (received == 1) ::raise(SIGKILL);
    return received;
  };
  auto outcomes = pool.outcomes().map_async(receive, there);
  first.send(1);
  EXPECT_TRUE(support::until([&] { return first.peer_gone(); }, 5s));
  second.send(2);
  auto const both = outcomes.get();
  EXPECT_FALSE(both.at(0).has_value());
  EXPECT_EQ(both.at(1).value(), 2);
}

INSTANTIATE_TEST_SUITE_P(Pipe, PipeToATask, support::every_start(), support::start_name);

TEST(Pipe, ToAPoolInATask) {
  ProcessPool pool{1};
  auto [here, there] = make_pipe<int>();
  auto const outer = [](PipeEnd<int> end) {
    ProcessPool inner{1};
    return inner.call<sum_of>(std::move(end));
  };
  auto sum = pool.submit(outer, std::move(there));
  here.send(4);
  here.send(5);
  here.close();
  EXPECT_EQ(sum.get(), 9);
}

// ---- handles within values

TEST_P(PipeToATask, ValuesHoldHandles) {
  if (GetParam() == procpool::Start::in_process) GTEST_SKIP() << "the call would wait for itself";
  using Array = procpool::SharedArray<int>;
  auto const fill = [](PipeEnd<Array> end) {
    int filled = 0;
    while (auto const array = end.receive()) {
      (*array)[0] = ++filled;
      end.send(*array);
    }
    return filled;
  };
  auto [here, there] = make_pipe<Array>();
  auto filled = pool_.submit(fill, std::move(there));
  Array const array(10);
  for (int i = 1; i <= 20; ++i) {
    here.send(array);
    auto const back = here.receive();
    ASSERT_TRUE(back);
    EXPECT_EQ((*back)[0], i);
    EXPECT_EQ(back->data(), array.data()) << "it is the same memory";
  }
  here.close();
  EXPECT_EQ(filled.get(), 20);
}

TEST(Pipe, AnEndGoesThroughAnotherPipe) {
  auto [here, there] = make_pipe<PipeEnd<int>>();
  auto [inner, other] = make_pipe<int>();
  here.send(other);
  EXPECT_FALSE(other.valid());
  auto arrived = there.receive();
  ASSERT_TRUE(arrived);
  inner.send(3);
  EXPECT_EQ(arrived->receive(), 3);
}

TEST(Pipe, AnEndThatCouldNotBeSentStaysHere) {
  auto [here, there] = make_pipe<PipeEnd<int>>();
  there.close();
  auto [inner, other] = make_pipe<int>();
  EXPECT_THROW(here.send(other), PipeClosed);
  ASSERT_TRUE(other.valid());
  inner.send(4);
  EXPECT_EQ(other.receive(), 4);
}

TEST(Pipe, AValueWithTooManyHandlesIsRefusedWhole) {
  auto [here, there] = make_pipe<std::vector<procpool::SharedArray<int>>>();
  std::vector<procpool::SharedArray<int>> many;
  for (int i = 0; i < 9; ++i) many.emplace_back(1);
  EXPECT_THROW(here.send(many), procpool::SerializationError);
  many.resize(8);
  here.send(many);
  EXPECT_EQ(there.receive()->size(), 8u);
}

// ---- deaths

void send_and_die(PipeEnd<int> to) {
  for (int i = 0; i < 100; ++i) to.send(i);
  ::raise(SIGKILL);
}

TEST(Pipe, ADeathEndsTheStreamAfterAllThatWasSent) {
  ProcessPool pool{1};
  auto [here, there] = make_pipe<int>();
  auto dead = pool.submit<send_and_die>(std::move(there));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(here.receive(), i);
  EXPECT_EQ(here.receive_for(10s), std::nullopt);
  EXPECT_TRUE(here.peer_gone());
  EXPECT_THROW(dead.get(), procpool::WorkerDied);
}

// What was published of a message is no message.
TEST(Pipe, ADeathInTheMiddleOfAMessageIsTheEndOfTheStream) {
  ProcessPool pool{1};
  auto [here, there] = make_pipe<std::string>();
  auto const half = [](PipeEnd<std::string> to) {
    to.send("whole");
    std::jthread const killer([] {
      std::this_thread::sleep_for(20ms);  // while there is no room
      ::raise(SIGKILL);
      ::kill(::getpid(), SIGKILL);
    });
    to.send(std::string(1'000'000, 'x'));
  };
  auto dead = pool.submit(half, std::move(there));
  EXPECT_THROW(dead.get(), procpool::WorkerDied);
  EXPECT_EQ(here.receive(), "whole");
  EXPECT_EQ(here.receive_for(10s), std::nullopt);
  EXPECT_TRUE(here.peer_gone());
}

TEST(Pipe, ATaskThatNeverBeganGivesItsEndToTheNextWorker) {
  ProcessPool pool{1};
  auto blocked = pool.submit([] {
    std::this_thread::sleep_for(50ms);
    ::raise(SIGKILL);
  });
  auto [here, there] = make_pipe<int>();
  auto sum = pool.submit<sum_of>(std::move(there));
  here.send(3);
  here.close();
  EXPECT_EQ(sum.get(), 3);
  EXPECT_THROW(blocked.get(), procpool::WorkerDied);
}

TEST(Pipe, ATaskThatIsCancelledBeforeItBeganEndsItsPipe) {
  ProcessPool pool{1};
  auto [gate, opened] = make_pipe<int>();
  auto blocked = pool.submit<sum_of>(std::move(opened));
  auto [here, there] = make_pipe<int>();
  auto never = pool.submit<sum_of>(std::move(there));
  never.cancel();
  gate.close();
  EXPECT_EQ(blocked.get(), 0);
  EXPECT_EQ(here.receive_for(10s), std::nullopt);
  EXPECT_TRUE(here.peer_gone());
}

// An element that waits at one worker may be taken to another and die there.
TEST(Pipe, ADeathEndsTheStreamAlsoWhileOtherWorkersAreBusy) {
  ProcessPool pool{2};
  auto const stays = [](PipeEnd<int> gate) {
    gate.send(1);
    while (gate.receive()) {
    }
  };
  auto [first_gate, first_end] = make_pipe<int>();
  auto [second_gate, second_end] = make_pipe<int>();
  auto first = pool.submit(stays, std::move(first_end));
  auto second = pool.submit(stays, std::move(second_end));
  ASSERT_EQ(first_gate.receive(), 1);
  ASSERT_EQ(second_gate.receive(), 1);
  auto [here, there] = make_pipe<int>();
  auto [other_here, other_there] = make_pipe<int>();
  auto dies = pool.submit<send_and_die>(std::move(there));
  auto other_dies = pool.submit<send_and_die>(std::move(other_there));
  second_gate.close();
  second.get();
  EXPECT_THROW(dies.get(), procpool::WorkerDied);
  EXPECT_THROW(other_dies.get(), procpool::WorkerDied);
  EXPECT_TRUE(support::until([&] { return here.peer_gone() && other_here.peer_gone(); }, 5s));
  first_gate.close();
  first.get();
}

// ---- what is refused

TEST(Pipe, AnElementThatIsRefusedLeavesItsEndWithTheCaller) {
  ProcessPool pool{1};
  auto [here, there] = make_pipe<int>();
  EXPECT_THROW(
      static_cast<void>(pool.submit([](PipeEnd<int>, Refuses) {}, std::move(there), Refuses())),
      std::runtime_error);
  EXPECT_TRUE(there.valid());
  here.send(5);
  EXPECT_EQ(there.receive(), 5);
}

TEST(Pipe, APoolThatTakesNothingLeavesItWithTheCaller) {
  ProcessPool pool{1};
  pool.close();
  auto [here, there] = make_pipe<int>();
  EXPECT_THROW(static_cast<void>(pool.submit<sum_of>(std::move(there))), procpool::PoolClosed);
  ASSERT_TRUE(there.valid());
  here.send(6);
  EXPECT_EQ(there.receive(), 6);
}

TEST(Pipe, AnEndIsNoPartOfAFunctionOrOfASharedValue) {
  ProcessPool pool{1};
  auto [here, there] = make_pipe<int>();
  Holder holder{"shared", {}};
  EXPECT_EQ(pool.share(holder)->name, "shared");
  holder.ends.push_back(std::move(there));
  try {
    pool.share(holder);
    FAIL();
  } catch (procpool::SerializationError const& error) {
    EXPECT_TRUE(std::string(error.what()).find("one owner") != std::string::npos) << error.what();
  }
}

TEST(Pipe, LeavesNoDescriptorsInAWorker) {
  ProcessPool pool{1};
  pid_t const worker = pool.call([] { return ::getpid(); });
  auto const descriptors = [&] { return support::descriptors_of(worker).size(); };
  auto const before = descriptors();
  for (int i = 0; i < 20; ++i) {
    auto [here, there] = make_pipe<int>();
    here.send(i);
    here.close();
    EXPECT_EQ(pool.call<sum_of>(std::move(there)), i);
  }
  EXPECT_TRUE(support::until([&] { return descriptors() <= before; }, 5s));
}

TEST(Pipe, LeavesNoDescriptors) {
  auto const before = support::descriptors_of(::getpid()).size();
  {
    ProcessPool pool{2};
    for (int i = 0; i < 50; ++i) {
      auto [here, there] = make_pipe<int>();
      auto sum = pool.submit<sum_of>(std::move(there));
      here.send(i);
      here.close();
      EXPECT_EQ(sum.get(), i);
    }
  }
  EXPECT_EQ(support::descriptors_of(::getpid()).size(), before);
}

}  // namespace
