// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Checkpoints: the state of an actor that arrives with an outcome, and what the next process has of
// it.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/errors.hpp"

namespace {

using procpool::ProcessPool;
using procpool::Start;
using procpool::WorkerDied;

struct Sum {
  int sum = 0;
  std::string text{};

  int add(int x) { return sum += x; }
  void note(std::string const& more) { text += more; }
  std::string all() const { return text; }
  void change_and_fail() {
    sum += 100;
    throw std::out_of_range("not here");
  }
  int change_and_die() {
    sum += 1000;
    return ::raise(SIGKILL);
  }
  std::string enlarge(std::size_t size) {
    text = std::string(size, 'x');
    return text;
  }
};

// Has its own way of being serialized. Its results have a fixed size, and its state has none.
class Listed {
 public:
  Listed() = default;
  explicit Listed(int first) : all_{first} {}
  int add(int x) {
    all_.push_back(x);
    return static_cast<int>(all_.size());
  }
  int sum() const {
    int sum = 0;
    for (int const x : all_) sum += x;
    return sum;
  }
  int die() { return ::raise(SIGKILL); }

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & all_;
  }

 private:
  std::vector<int> all_;
};

struct Holder {
  procpool::Queue<int> queue{};
  int taken = 0;
  int take() {
    taken += *queue.pop();
    return taken;
  }
  int die() { return ::raise(SIGKILL); }
};

// Has a state that cannot be encoded once it was changed.
struct Stubborn {
  int value = 0;
  int set(int x) { return value = x; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if (value == 13) throw std::domain_error("it stays here");
    archive & value;
  }
  int die() { return ::raise(SIGKILL); }
};

struct Unsent {
  int* pointer = nullptr;
  int call() { return 1; }
};

class ActorCheckpoint : public testing::TestWithParam<Start> {
 protected:
  ProcessPool pool_{{.workers = 1, .start = {.method = GetParam()}}};
};

}  // namespace

TEST_P(ActorCheckpoint, OfEachOutcomeForgetsNothingThatWasAnswered) {
  auto actor = pool_.actor<Sum>({.restarts = 3, .checkpoint_every = 1}, 5);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 6);
  actor.call<&Sum::note>("kept").get();
  EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 7);  // and not 1007
  EXPECT_EQ(actor.call<&Sum::all>().get(), "kept");
  EXPECT_EQ(actor.incarnation(), 2u);
  EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 8);
}

TEST_P(ActorCheckpoint, IsOfTheStateBehindAnException) {
  auto actor = pool_.actor<Sum>({.restarts = 1, .checkpoint_every = 1});
  EXPECT_THROW(actor.call<&Sum::change_and_fail>().get(), std::out_of_range);
  EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 101);
}

TEST_P(ActorCheckpoint, OfEveryThirdOutcomeForgetsAtMostTwo) {
  auto actor = pool_.actor<Sum>({.restarts = 1, .checkpoint_every = 3});
  for (int i = 1; i <= 8; ++i) EXPECT_EQ(actor.call<&Sum::add>(1).get(), i);
  EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 7);
}

// Its place is the next one's.
TEST_P(ActorCheckpoint, EndsWithItsActor) {
  for (int i = 1; i <= 3; ++i) {
    auto actor = pool_.actor<Sum>({.restarts = 1, .checkpoint_every = 1});
    EXPECT_EQ(actor.call<&Sum::add>(i).get(), i);
  }
}

TEST_P(ActorCheckpoint, IsNotThereBeforeTheFirstOutcome) {
  auto actor = pool_.actor<Sum>({.restarts = 1, .checkpoint_every = 1}, 5);
  EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 6);  // of the constructor
}

TEST_P(ActorCheckpoint, GoesWithValuesOfAnySize) {
  auto actor = pool_.actor<Sum>({.restarts = 3, .checkpoint_every = 1});
  int calls = 0;
  for (std::size_t const size : {std::size_t{10}, std::size_t{20'000}, std::size_t{3'000'000}}) {
    std::string const text(size, 'x');
    EXPECT_EQ(actor.call<&Sum::enlarge>(size).get(), text);
    EXPECT_THROW(actor.call<&Sum::change_and_die>().get(), WorkerDied);
    EXPECT_EQ(actor.call<&Sum::add>(1).get(), ++calls);
    EXPECT_EQ(actor.call<&Sum::all>().get(), text);
  }
}

TEST_P(ActorCheckpoint, IsOfAClassWithItsOwnSerialize) {
  auto actor = pool_.actor<Listed>({.restarts = 1, .checkpoint_every = 1}, 10);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(actor.call<&Listed::add>(i).get(), i + 2);
  EXPECT_THROW(actor.call<&Listed::die>().get(), WorkerDied);
  EXPECT_EQ(actor.call<&Listed::sum>().get(), 10 + 49 * 25);
}

TEST_P(ActorCheckpoint, KeepsHandlesOfTheState) {
  procpool::Queue<int> queue;
  auto actor = pool_.actor<Holder>({.restarts = 1, .checkpoint_every = 1}, queue);
  queue.push(1);
  EXPECT_EQ(actor.call<&Holder::take>().get(), 1);
  EXPECT_THROW(actor.call<&Holder::die>().get(), WorkerDied);
  queue.push(2);
  EXPECT_EQ(actor.call<&Holder::take>().get(), 3);
}

TEST_P(ActorCheckpoint, ThatCannotBeEncodedIsTheErrorOfItsCall) {
  auto actor = pool_.actor<Stubborn>({.restarts = 1, .checkpoint_every = 1});
  EXPECT_EQ(actor.call<&Stubborn::set>(5).get(), 5);
  EXPECT_THROW(actor.call<&Stubborn::set>(13).get(), std::domain_error);
  EXPECT_EQ(actor.incarnation(), 1u);
  EXPECT_THROW(actor.call<&Stubborn::die>().get(), WorkerDied);
  EXPECT_EQ(actor.call([](Stubborn& object) { return object.value; }).get(), 5);
}

// Calls that were made before the first of them has ended.
TEST_P(ActorCheckpoint, IsExactForCallsThatWaitTogether) {
  auto actor = pool_.actor<Sum>({.restarts = 4, .checkpoint_every = 1});
  std::vector<procpool::Future<int>> calls;
  for (int i = 0; i < 400; ++i) {
    calls.push_back(i % 100 == 99 ? actor.call<&Sum::change_and_die>() : actor.call<&Sum::add>(1));
  }
  int answered = 0;
  for (auto& call : calls) {
    try {
      int const sum = call.get();
      EXPECT_EQ(sum, ++answered);
    } catch (WorkerDied const&) {  // one of four
    }
  }
  EXPECT_EQ(answered, 396);
  EXPECT_EQ(actor.call<&Sum::add>(0).get(), 396);
  EXPECT_EQ(actor.incarnation(), 5u);
}

INSTANTIATE_TEST_SUITE_P(Each, ActorCheckpoint, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(ActorCheckpoints, AreRefusedForAClassThatCannotBeEncoded) {
  ProcessPool pool{1};
  EXPECT_TRUE(support::says(support::thrown_by<std::invalid_argument>([&] {
                              static_cast<void>(pool.actor<Unsent>({.checkpoint_every = 1}));
                            }),
                            "cannot be serialized, as a checkpoint needs"));
  EXPECT_EQ(pool.actor<Unsent>().call<&Unsent::call>().get(), 1);
}

TEST(ActorCheckpoints, AreNotNeededInTheProgram) {
  ProcessPool pool{{.start = {.method = Start::in_process}}};
  auto actor = pool.actor<Sum>({.checkpoint_every = 1}, 5);
  EXPECT_EQ(actor.call<&Sum::add>(1).get(), 6);
}
