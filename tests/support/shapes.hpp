// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Classes that are reached through pointers to their bases, of which one is abstract and one has
// two. The user exports them: BOOST_CLASS_EXPORT belongs into one source of a program.

#include <string>

#include <boost/serialization/base_object.hpp>
#include <boost/serialization/version.hpp>

namespace shapes {

struct Shape {
  std::string name;
  virtual ~Shape() = default;
  virtual double area() const = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & name;
  }
};

// The derived class may own the other shape, or only refer to it.
template <class Reference>
struct CircleWith : Shape {
  double radius = 0;
  Reference other;
  double area() const override { return 3 * radius * radius; }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar& boost::serialization::base_object<Shape>(*this) & radius & other;
  }
};

struct Tagged {
  int tag = 0;
  virtual ~Tagged() = default;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & tag;
  }
};

// Two bases: a Tagged* to it is not its address.
struct Square : Shape, Tagged {
  double side = 0;
  double area() const override { return side * side; }
  template <class A>
  void serialize(A& ar, unsigned version) {
    ar& boost::serialization::base_object<Shape>(*this);
    ar& boost::serialization::base_object<Tagged>(*this) & side;
    seen = version;
  }
  unsigned seen = 99;
};

}  // namespace shapes

BOOST_CLASS_VERSION(shapes::Square, 3)
