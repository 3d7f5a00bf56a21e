// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Coroutines: a future can be awaited, and be what a coroutine returns.

#include <iostream>
#include <procpool.hpp>
#include <string>
#include <vector>

std::string fetch(int page) { return std::string(static_cast<std::size_t>(page), 'x'); }
std::size_t measure(std::string const& text) { return text.size(); }

// Begins in its caller, and goes on where the pool's callbacks run.
procpool::Future<std::size_t> size_of(procpool::ProcessPool& pool, int page) {
  std::string const text = co_await pool.submit<fetch>(page);
  co_return co_await pool.submit<measure>(text);
}

procpool::Future<std::size_t> size_of_all(procpool::ProcessPool& pool, int pages) {
  std::vector<procpool::Future<std::size_t>> all;
  for (int page = 1; page <= pages; ++page) all.push_back(size_of(pool, page));  // side by side
  std::size_t sum = 0;
  for (auto& each : all) sum += co_await each;
  co_return sum;
}

int main() {
  procpool::ProcessPool pool{2};
  std::cout << size_of_all(pool, 100).get() << '\n';
}
