// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What tasks print belongs to them: also when they crash, and nothing of it is mixed.

#include <csignal>
#include <iostream>
#include <procpool.hpp>
#include <ranges>

namespace {

int parse(int number) {
  std::cout << "parsing record " << number << '\n';
  if (number == 2) {
    std::cout << "record 2 is broken" << std::endl;  // flushed: what comes next is a crash
    std::raise(SIGSEGV);
  }
  std::cerr << "record " << number << " is fine\n";
  return number * 10;
}

}  // namespace

int main() {
  procpool::ProcessPool pool{{.workers = 2, .output = {.mode = procpool::Output::capture}}};
  for (auto const& outcome : pool.outcomes().map<parse>(std::views::iota(1, 4))) {
    std::cout << (outcome ? "ended, and had printed:\n" : "crashed, and had printed:\n")
              << outcome.output();
  }
}
