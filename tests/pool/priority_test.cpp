// Priorities: among what waits, higher ones go first.

#include <gtest/gtest.h>

#include <procpool.hpp>
#include <thread>
#include <vector>

#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

int note(int x) {
  support::Trace::note(x);
  return x;
}
int note_and_stay(int x) {
  note(x);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return x;
}

TEST(Priority, HigherOnesGoFirstAndEqualOnesInTheirOrder) {
  support::Trace const trace;
  procpool::ProcessPool pool{1};
  auto busy = pool.submit<note_and_stay>(0);
  ASSERT_TRUE(support::until([&trace] { return trace.size() == 1; }));
  // This one lies ahead in the worker's inbox: it is not called back.
  auto ahead = pool.submit<note>(1);
  std::vector<procpool::Future<int>> futures;
  for (int const x : {30, 31}) futures.push_back(pool.with({.priority = -1}).submit<note>(x));
  for (int const x : {20, 21}) futures.push_back(pool.submit<note>(x));
  for (int const x : {10, 11}) futures.push_back(pool.with({.priority = 7}).submit<note>(x));
  pool.join();
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{0, 1, 10, 11, 20, 21, 30, 31}));
}

}  // namespace
