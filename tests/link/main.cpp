// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pool used from main, with every kind of function that has an address or is a type.

#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include <procpool.hpp>

namespace {

// Made by a static initialiser, which a worker must have run before it runs tasks.
std::map<std::string, int> const table{{"one", 1}, {"two", 2}};

int look_up(std::string const& name) { return table.at(name); }
pid_t whose(int) { return getpid(); }

template <class T>
T twice(T x) {
  return x + x;
}

}  // namespace

int main() {
  procpool::ProcessPool pool{2};
  int (*const at_run_time)(std::string const&) = look_up;
  bool const right =
      pool.call<look_up>("two") == 2 && pool.call(at_run_time, "one") == 1 &&
      pool.call<twice<int>>(4) == 8 &&
      pool.map([](int x) { return x + 1; }, std::vector{1, 2}) == std::vector{2, 3} &&
      pool.call<whose>(0) != getpid();
  return right ? 0 : 1;
}
