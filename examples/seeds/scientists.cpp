// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A record per scientist in, a record per scientist out. Both are plain structs, which travel with
// no code of their own.

#include <iostream>
#include <procpool.hpp>
#include <string>
#include <vector>

struct Scientist {
  std::string name;
  int born;
};

struct Aged {
  std::string name;
  int age;
};

Aged process_item(Scientist const& item) { return {item.name, 2017 - item.born}; }

int main() {
  std::vector<Scientist> const scientists{
      {"Ada Lovelace", 1815}, {"Emmy Noether", 1882}, {"Marie Curie", 1867}, {"Tu Youyou", 1930},
      {"Ada Yonath", 1939},   {"Vera Rubin", 1928},   {"Sally Ride", 1951},
  };

  procpool::ProcessPool pool;
  char const* separator = "(";
  for (auto const& [name, age] : pool.map<process_item>(scientists)) {
    std::cout << separator << "{'name': '" << name << "', 'age': " << age << "}";
    separator = ",\n ";
  }
  std::cout << ")\n";
}
