// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Tasks that close every descriptor of their worker.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <procpool.hpp>
#include <ranges>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

int close_everything(int x) {
  ::close_range(0, ~0u, 0);
  return x + 1;
}

// Takes the numbers that have become free.
int close_and_open_others(int x) {
  ::close_range(0, ~0u, 0);
  for (int i = 0; i < 40; ++i) static_cast<void>(!::open("/dev/null", O_RDWR));
  return x + 1;
}

// All that is open goes on working, but leads nowhere.
int replace_by_others(int x) {
  int const nowhere = ::open("/dev/null", O_RDWR);
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    if (number > STDERR_FILENO) ::dup2(nowhere, number);
  }
  return x + 1;
}

int sometimes_close_everything(int x) { return x % 10 == 4 ? close_everything(x) : x + 1; }

std::string close_and_return_much(std::size_t size) {
  ::close_range(0, ~0u, 0);
  return std::string(size, 'r');
}

using tasks::increment;

}  // namespace

TEST(ClosedDescriptors, ValueArrivesAndThePoolWorksOn) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 5; ++i) {
    auto future = pool.submit<close_everything>(i);
    ASSERT_TRUE(future.wait_for(20s));
    EXPECT_EQ(future.get(), i + 1);
    EXPECT_EQ(pool.call<increment>(i), i + 1);
  }
}

TEST(ClosedDescriptors, AlsoWhenTheirNumbersAreTakenAgain) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pool.call<close_and_open_others>(i), i + 1);
    EXPECT_EQ(pool.call<increment>(i), i + 1);
  }
}

// A doorbell of the program is lost without an error; the program looks by itself.
TEST(ClosedDescriptors, AlsoWhenOthersStandInTheirPlace) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 5; ++i) {
    for (auto const function : {replace_by_others, increment}) {
      auto future = pool.submit(function, i);
      if (!future.wait_for(10s)) {
        ADD_FAILURE() << "the value does not arrive";
        pool.terminate();
        return;
      }
      EXPECT_EQ(future.get(), i + 1);
    }
  }
}

TEST(ClosedDescriptors, InTheMiddleOfAMap) {
  procpool::ProcessPool pool{2};
  for (int const chunk : {1, 5, 100}) {
    auto const outcomes = pool.with({.chunk = chunk})
                              .outcomes()
                              .map<sometimes_close_everything>(std::views::iota(0, 100));
    ASSERT_EQ(outcomes.size(), 100u);
    for (int i = 0; i < 100; ++i) {
      auto const& outcome = outcomes[static_cast<std::size_t>(i)];
      ASSERT_TRUE(outcome.has_value()) << i << ": " << support::text_of(outcome);
      EXPECT_EQ(outcome.value(), i + 1);
    }
  }
}

// A result that needs a descriptor of its own cannot be sent any more; the reason says why.
TEST(ClosedDescriptors, LargeResultIsAPreciseLoss) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call<close_and_return_much>(100), std::string(100, 'r'));
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.call<close_and_return_much>(1'000'000); });
  EXPECT_TRUE(support::says(died, "descriptors"));
  EXPECT_EQ(pool.call<increment>(1), 2);
}

// Arguments that need one arrive in another worker, or in none.
TEST(ClosedDescriptors, LargeArgumentsAfterwards) {
  procpool::ProcessPool pool{1};
  std::string const much(1'000'000, 'a');
  auto const length = [](std::string const& text) { return text.size(); };
  for (int i = 0; i < 3; ++i) {
    auto closing = pool.submit<close_everything>(i);
    auto behind = pool.submit(length, much);
    EXPECT_EQ(closing.get(), i + 1);
    EXPECT_EQ(behind.get(), much.size());
  }
}
