// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A thread of the program that ends in the middle of a call: inside an input, by pthread_exit.

#include <gtest/gtest.h>

#include <pthread.h>

#include <procpool.hpp>
#include <ranges>
#include <thread>

#include "support/tasks.hpp"

namespace {

using tasks::same;
int leave_at_five(int x) {
  if (x == 5) pthread_exit(nullptr);
  return x;
}
auto leaving() { return std::views::iota(0) | std::views::transform(leave_at_five); }

TEST(EndedThread, LeavesThePoolAsItWas) {
  procpool::ProcessPool pool{2};
  std::thread([&pool] { static_cast<void>(pool.map<same>(leaving())); }).join();
  std::thread([&pool] {
    for (int const result : pool.imap<same>(leaving())) static_cast<void>(result);
  }).join();
  std::thread([&pool] {
    for (auto const& result : pool.imap_unordered<same>(leaving())) static_cast<void>(result);
  }).join();
  std::thread([&pool] { static_cast<void>(pool.map_async<same>(leaving())); }).join();
  EXPECT_EQ(pool.map<same>(std::views::iota(0, 100)).size(), 100u);
}

}  // namespace
