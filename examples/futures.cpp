// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Calls that have not ended yet: map_async, as_completed, then, when_all, when_any.

#include <iostream>
#include <procpool.hpp>
#include <string>
#include <utility>
#include <vector>

long fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
std::string text(long n) { return "<" + std::to_string(n) + ">"; }

int main() {
  procpool::ProcessPool pool{2};

  // A whole map in the background.
  procpool::Results<long> results = pool.map_async<fibonacci>(std::vector{10, 15, 20});
  std::cout << results.total() << " elements: ";
  for (long const value : results.get()) std::cout << value << ' ';
  std::cout << '\n';

  // Several calls, in the order in which they end.
  std::vector<procpool::Future<long>> futures;
  for (int const n : {24, 1, 12}) futures.push_back(pool.submit<fibonacci>(n));
  long sum = 0;
  for (auto& future : procpool::as_completed(futures)) sum += future.get();
  std::cout << "sum " << sum << '\n';

  // What happens next: on the pool's callback thread, which may use the pool.
  procpool::Future<std::string> chain =
      pool.submit<fibonacci>(10)
          .then([](long value) { return value + 1; })
          .then([&pool](long value) { return pool.submit<text>(value); });
  std::cout << chain.get() << '\n';

  // All of them, or the first of them.
  auto [number, word] = procpool::when_all(pool.submit<fibonacci>(7), pool.submit<text>(7)).get();
  std::cout << number << ' ' << word << '\n';
  auto first = procpool::when_any(pool.submit<fibonacci>(32), pool.submit<text>(1)).get();
  std::cout << (first.index == 1 ? "the text was first\n" : "the number was first\n");
}
