// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Results of users' own types: plain aggregates, which travel by themselves, and such with a
// serialize of their own, by member, split, free, with a version.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/decoding.hpp"
#include "support/people.hpp"

#include <boost/serialization/split_member.hpp>
#include <boost/serialization/string.hpp>
#include <boost/serialization/vector.hpp>
#include <boost/serialization/version.hpp>

namespace own {

struct Padded {
  char kind = 0;
  double value = 0;
  bool known = false;
};

struct Member {
  int x = 0;
  std::vector<std::string> texts;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & x & texts;
  }
};

struct Versioned {
  int x = 0;
  std::string since_two;
  template <class A>
  void save(A& ar, unsigned) const {
    ar << x << since_two;
  }
  template <class A>
  void load(A& ar, unsigned version) {
    ar >> x;
    if (version >= 2) ar >> since_two;
  }
  BOOST_SERIALIZATION_SPLIT_MEMBER()
};

struct Free {
  Member inner;
  std::vector<Versioned> many;
};
template <class A>
void serialize(A& ar, Free& value, unsigned) {
  ar & value.inner & value.many;
}

}  // namespace own

BOOST_CLASS_VERSION(own::Versioned, 2)

namespace {

using namespace own;
using namespace people;

using All = fuzz::Types<Person, std::vector<Person>, Deep, Padded, std::vector<Padded>, Member,
                        Versioned, std::vector<Versioned>, Free, std::map<int, Free>,
                        std::vector<Empty>, std::optional<Deep>>;

}  // namespace

void fuzz::run(std::span<std::byte const> input) { All::decode(input); }

std::vector<fuzz::Bytes> fuzz::seeds() {
  Person const person{"Ada", 1815};
  Deep const deep{person, {person, {}}, {{"a", person}}, {}, person, true, {1, 2, 3}};
  Padded const padded{'k', 2.5, true};
  Member const member{3, {"a", "bc"}};
  Versioned const versioned{4, "new"};
  Free const free{member, {versioned, versioned}};
  return All::seeds(person, {person, person}, deep, padded, {padded, padded}, member, versioned,
                    {versioned}, free, {{1, free}}, std::vector<Empty>(2), deep);
}
