// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Progress: a bar on the terminal, and a callback of one's own.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <thread>

int work(int x) {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return x;
}

int main() {
  procpool::ProcessPool pool{4};
  auto const inputs = std::views::iota(0, 300);

  // On standard error, and only if that is a terminal.
  pool.with({.progress = procpool::progress_bar("working")}).map<work>(inputs);

  // It runs on the pool's callback thread, and has been told of the end when map returns.
  procpool::Progress last;
  procpool::CallOptions options;
  options.progress = [&last](procpool::Progress const& progress) { last = progress; };
  pool.with(options).map<work>(inputs);
  std::cout << last.done << " of " << *last.total << ", " << last.failed << " failed\n";
}
