// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// In control of what runs: deadlines, cancelling, retries.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

// Some inputs make it loop for ever, as numerical code does that never converges.
int solve(int x) {
  while (x == 3) std::this_thread::sleep_for(1s);
  return 10 * x;
}

int forever(int x) {
  for (;;) std::this_thread::sleep_for(1s);
  return x;
}

// Crashes now and then, whatever the input.
int fragile(int x) {
  if (std::chrono::steady_clock::now().time_since_epoch().count() / 1'000 % 4 == 0) std::abort();
  return x * x;
}

int main() {
  procpool::ProcessPool pool{2};

  // The one that overruns is ended; all others have their results.
  auto const puzzles = std::vector{1, 2, 3, 4, 5};
  for (auto const& outcome : pool.with({.timeout = 200ms}).outcomes().map<solve>(puzzles)) {
    if (outcome) {
      std::cout << *outcome << ' ';
    } else {
      std::cout << "(no solution) ";
    }
  }
  std::cout << '\n';

  // What runs can be ended, and what waits never begins.
  std::vector<procpool::Future<int>> futures;
  for (int i = 0; i < 4; ++i) futures.push_back(pool.submit<forever>(i));
  std::this_thread::sleep_for(200ms);
  std::size_t cancelled = 0;
  for (auto& future : futures) cancelled += future.cancel() != procpool::Cancel::too_late;
  std::cout << cancelled << " cancelled\n";

  // What fails is tried again, each element for itself.
  long sum = 0;
  for (int const square : pool.with({.retries = {.times = 100}}).map<fragile>(puzzles)) {
    sum += square;
  }
  std::cout << "the squares add up to " << sum << '\n';
}
