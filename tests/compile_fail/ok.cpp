// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect-success
// The control: what is right compiles with the very flags with which the other files must not.

#include <string>
#include <vector>

#include <procpool.hpp>

struct Person {
  std::string name;
  int born;
};

int age_in_2017(Person const& person) { return 2017 - person.born; }

std::vector<int> ages(std::vector<Person> const& people) {
  procpool::ProcessPool pool;
  return pool.map<age_in_2017>(people);
}
