// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a worker has before its first element, and for how long it lives.

#include <iostream>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>

#include <unistd.h>

std::map<std::string, int> dictionary;  // each worker has its own

void load(std::string const& first, std::string const& second) {
  dictionary = {{first, 1}, {second, 2}};
}
int look_up(std::string const& word) { return dictionary.at(word); }
pid_t who(int) { return ::getpid(); }

int main() {
  // Runs once in each worker, also in those that replace others.
  procpool::PoolOptions options;
  options.workers = 2;
  options.start.initializer = procpool::bound<load>("one", "two");
  procpool::ProcessPool pool{options};
  for (int const number : pool.map<look_up>(std::vector<std::string>{"two", "one", "two"})) {
    std::cout << number << ' ';
  }
  std::cout << '\n';

  // Every element in a process of its own: nothing of one is left for the next.
  procpool::ProcessPool pristine{{.workers = 2, .lifetime = {.max_tasks = 1}}};
  auto const pids = pristine.map<who>(std::views::iota(0, 10));
  std::cout << std::set(pids.begin(), pids.end()).size() << " processes for 10 elements\n";
}
