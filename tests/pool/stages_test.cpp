// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Failures of the user's code around the call: while an argument or a callable is loaded in the
// worker, while a result is saved there, and while it is loaded here. Each costs its own element
// only.

#include <gtest/gtest.h>
#include <signal.h>

#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/tasks.hpp"

namespace {

enum class Act { nothing, throws, segv, kill };

void perform(Act act) {
  if (act == Act::throws) throw std::runtime_error("serialize refuses");
  if (act == Act::segv) ::raise(SIGSEGV);
  if (act == Act::kill) ::raise(SIGKILL);
}

// Acts when it is loaded in a worker.
struct Argument {
  Act act = Act::nothing;
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & act & value;
    if (Archive::is_loading::value && procpool::in_worker()) perform(act);
  }
};

// Acts when it is saved in a worker, or when it is loaded in the program.
struct Result {
  Act on_save = Act::nothing;
  Act on_load = Act::nothing;
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & on_save & on_load & value;
    if (Archive::is_saving::value && procpool::in_worker()) perform(on_save);
    if (Archive::is_loading::value && !procpool::in_worker()) perform(on_load);
  }
};

struct Callable {
  Act act = Act::nothing;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & act;
    if (Archive::is_loading::value && procpool::in_worker()) perform(act);
  }
  int operator()(int x) const { return x + 1; }
};

int take(Argument argument) { return argument.value; }
Result make(Act on_save, Act on_load, int value) { return {on_save, on_load, value}; }
Result make_at_seven(int x, Act on_save, Act on_load) {
  return x == 7 ? Result{on_save, on_load, x} : Result{Act::nothing, Act::nothing, x};
}
using tasks::increment;

// Everything but element 7 is right, and element 7 is what it is.
template <class T, class Value>
std::exception_ptr error_at_seven(std::vector<procpool::Outcome<T>> const& outcomes, Value value) {
  EXPECT_EQ(outcomes.size(), 20u);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (i == 7) continue;
    if (outcomes[i].has_value()) {
      EXPECT_EQ(value(outcomes[i].value()), static_cast<int>(i));
    } else {
      ADD_FAILURE() << i << ": " << support::text_of(outcomes[i]);
    }
  }
  EXPECT_FALSE(outcomes.at(7).has_value());
  return outcomes.at(7).has_value() ? nullptr : outcomes[7].error().exception();
}

std::exception_ptr map_arguments(procpool::ProcessPool& pool, Act act, int chunk) {
  std::vector<Argument> arguments;
  for (int i = 0; i < 20; ++i) arguments.push_back({i == 7 ? act : Act::nothing, i});
  return error_at_seven(pool.with({.chunk = chunk}).outcomes().map<take>(arguments),
                        [](int x) { return x; });
}

std::exception_ptr map_results(procpool::ProcessPool& pool, Act on_save, Act on_load, int chunk) {
  std::vector<int> inputs;
  for (int i = 0; i < 20; ++i) inputs.push_back(i);
  auto const function = procpool::bind_back(make_at_seven, on_save, on_load);
  return error_at_seven(pool.with({.chunk = chunk}).outcomes().map(function, inputs),
                        [](Result const& result) { return result.value; });
}

}  // namespace

TEST(Stage, LoadingAnArgumentThrows) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 20}) {
    auto const error = map_arguments(pool, Act::throws, chunk);
    EXPECT_NE(support::text_of(error).find("serialize refuses"), std::string::npos)
        << support::text_of(error);
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Stage, LoadingAnArgumentKillsTheWorker) {
  procpool::ProcessPool pool{2};
  for (auto const& [act, signal] : {std::pair(Act::segv, SIGSEGV), std::pair(Act::kill, SIGKILL)}) {
    for (int const chunk : {1, 20}) {
      auto const died = support::thrown_by<procpool::WorkerDied>(
          [&] { std::rethrow_exception(map_arguments(pool, act, chunk)); });
      EXPECT_EQ(died.signal(), signal);
      EXPECT_EQ(died.element(), 7u);
      EXPECT_EQ(died.stage(), "loading");
    }
  }
}

TEST(Stage, SavingAResultThrows) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 20}) {
    auto const error = map_results(pool, Act::throws, Act::nothing, chunk);
    EXPECT_NE(support::text_of(error).find("serialize refuses"), std::string::npos)
        << support::text_of(error);
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Stage, SavingAResultKillsTheWorker) {
  procpool::ProcessPool pool{2};
  for (auto const& [act, signal] : {std::pair(Act::segv, SIGSEGV), std::pair(Act::kill, SIGKILL)}) {
    for (int const chunk : {1, 20}) {
      auto const died = support::thrown_by<procpool::WorkerDied>(
          [&] { std::rethrow_exception(map_results(pool, act, Act::nothing, chunk)); });
      EXPECT_EQ(died.signal(), signal);
      EXPECT_EQ(died.element(), 7u);
      EXPECT_EQ(died.stage(), "saving");
    }
  }
}

TEST(Stage, RunningIsSaidToo) {
  procpool::ProcessPool pool{1};
  auto const died =
      support::thrown_by<procpool::WorkerDied>([&] { pool.call([] { ::raise(SIGKILL); }); });
  EXPECT_EQ(died.stage(), "running");
}

// If no user code can run before or after the call, the worker has not noted that either.
TEST(Stage, RunningIsSaidOfElementsWithoutASerializeOfTheirOwn) {
  procpool::ProcessPool pool{1};
  auto const dies_at_7 = [](int x) { return x == 7 ? ::raise(SIGKILL) : x; };
  for (std::size_t const chunk : {1u, 20u}) {
    auto const died = support::thrown_by<procpool::WorkerDied>(
        [&] { pool.with({.chunk = chunk}).map(dies_at_7, std::views::iota(0, 20)); });
    EXPECT_EQ(died.element(), 7u);
    EXPECT_EQ(died.stage(), "running");
  }
}

TEST(Stage, LoadingAResultHereThrows) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 20}) {
    auto const error = map_results(pool, Act::nothing, Act::throws, chunk);
    EXPECT_NE(support::text_of(error).find("serialize refuses"), std::string::npos)
        << support::text_of(error);
  }
  auto future = pool.submit<make>(Act::nothing, Act::throws, 1);
  EXPECT_ANY_THROW(future.get());
  EXPECT_EQ(pool.submit<make>(Act::nothing, Act::nothing, 1).get().value, 1);
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

TEST(Stage, SavingAnArgumentHereThrows) {
  struct Unsavable {
    void save(procpool::OutputArchive&, unsigned) const { throw std::runtime_error("not saved"); }
    void load(procpool::InputArchive&, unsigned) {}
    void serialize(procpool::OutputArchive& archive, unsigned version) { save(archive, version); }
    void serialize(procpool::InputArchive& archive, unsigned version) { load(archive, version); }
  };
  procpool::ProcessPool pool{1};
  EXPECT_ANY_THROW(pool.call([](Unsavable) { return 1; }, Unsavable{}));
  EXPECT_EQ(pool.call<increment>(1), 2);
}

TEST(Stage, LoadingACallableThrows) {
  procpool::ProcessPool pool{2};
  auto const outcomes = pool.outcomes().map(Callable{Act::throws}, std::vector{1, 2, 3, 4, 5});
  ASSERT_EQ(outcomes.size(), 5u);
  for (auto const& outcome : outcomes) {
    EXPECT_FALSE(outcome.has_value());
    EXPECT_NE(support::text_of(outcome).find("serialize refuses"), std::string::npos)
        << support::text_of(outcome);
  }
  EXPECT_EQ(pool.map(Callable{}, std::vector{1, 2}), (std::vector{2, 3}));
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
}

// It is attributed to each element that meets it, once: the pool does not start worker after worker
// for one and the same element.
TEST(Stage, LoadingACallableKillsTheWorker) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 10}) {
    std::uint64_t const before = pool.stats().worker_starts;
    auto const outcomes =
        pool.with({.chunk = chunk}).outcomes().map(Callable{Act::segv}, std::vector<int>(10));
    ASSERT_EQ(outcomes.size(), 10u);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      auto const died = support::error_of<procpool::WorkerDied>(outcomes[i]);
      EXPECT_EQ(died.signal(), SIGSEGV);
      EXPECT_EQ(died.element(), i);
    }
    EXPECT_LE(pool.stats().worker_starts - before, 12u);
  }
  EXPECT_EQ(pool.call<increment>(1), 2);
}
