// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The smallest useful program: a plain struct in, a plain struct out, one worker per usable CPU.

#include <iostream>
#include <procpool.hpp>
#include <string>
#include <vector>

struct Person {
  std::string name;
  int born;
};

struct Age {
  std::string name;
  int age;
};

Age age_in_2017(Person const& person) { return {person.name, 2017 - person.born}; }

int main() {
  std::vector<Person> const scientists{
      {"Ada Lovelace", 1815}, {"Emmy Noether", 1882}, {"Marie Curie", 1867}, {"Tu Youyou", 1930}};

  procpool::ProcessPool pool;
  for (auto const& [name, age] : pool.map<age_in_2017>(scientists)) {
    std::cout << name << ' ' << age << '\n';
  }
}
