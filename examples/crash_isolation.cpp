// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A function that crashes on one input. The crash costs that input its result and nothing else: the
// program, the pool and the other inputs go on, and the error says what happened to whom.

#include <iostream>
#include <procpool.hpp>
#include <ranges>

int halve(int x) {
  if (x == 13) {
    int volatile* volatile nowhere = nullptr;  // volatile, or the compiler would drop the bug
    *nowhere = x;
  }
  return x / 2;
}

int main() {
  procpool::ProcessPool pool{2};

  int x = 0;
  int right = 0;
  bool blamed = false;
  for (auto const& outcome : pool.outcomes().imap<halve>(std::views::iota(0, 20))) {
    if (outcome) {
      right += *outcome == x / 2;
    } else if (auto const* const died = outcome.error().as<procpool::WorkerDied>()) {
      std::cout << "no result for " << x << ": " << died->what() << '\n';
      blamed = x == 13 && died->element() == 13;
    }
    ++x;
  }
  std::cout << right << " right results\n";

  // The worker was replaced, and the pool is as good as new.
  bool const goes_on = pool.call<halve>(84) == 42;
  std::cout << (goes_on ? "and the pool goes on\n" : "but the pool does not go on\n");
  return right == 19 && blamed && goes_on ? 0 : 1;
}
