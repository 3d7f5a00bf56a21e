// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Plain structs, of plain structs, as users have them: nothing in them says how they travel.

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace people {

struct Empty {
  bool operator==(Empty const&) const = default;
};

struct Person {
  std::string name;
  int born = 0;
  bool operator==(Person const&) const = default;
};

struct Deep {
  Person who;
  std::vector<Person> friends;
  std::map<std::string, Person> by_name;
  Empty nothing;
  std::optional<Person> maybe;
  bool flag = false;
  std::array<int, 3> numbers{};
  bool operator==(Deep const&) const = default;
};

}  // namespace people
