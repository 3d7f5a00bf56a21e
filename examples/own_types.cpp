// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Types that travel: plain structs as they are, classes with a serialize function as that of
// Boost.Serialization, and pointers to a polymorphic base whose derived types are exported.

#include <boost/serialization/base_object.hpp>
#include <boost/serialization/export.hpp>
#include <iostream>
#include <memory>
#include <numbers>
#include <procpool.hpp>
#include <string>
#include <vector>

// A plain struct needs nothing. It may hold other things that travel.
struct Survey {
  std::string name;
  std::vector<double> areas;
};

// A class with private members says how it travels.
class Fraction {
 public:
  Fraction() = default;
  Fraction(int over, int under) : over_(over), under_(under) {}
  double value() const { return static_cast<double>(over_) / under_; }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & over_ & under_;
  }
  int over_ = 0;
  int under_ = 1;
};

// A pointer to Shape carries the whole object that it points to.
struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};

struct Circle final : Shape {
  Fraction radius;
  Circle() = default;
  explicit Circle(Fraction r) : radius(r) {}
  double area() const override { return std::numbers::pi * radius.value() * radius.value(); }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& boost::serialization::base_object<Shape>(*this);
    archive & radius;
  }
};
BOOST_CLASS_EXPORT(Circle)

Survey survey(std::string const& name, std::vector<std::shared_ptr<Shape>> const& shapes) {
  Survey result{name, {}};
  for (auto const& shape : shapes) result.areas.push_back(shape->area());
  return result;
}

int main() {
  procpool::ProcessPool pool{1};
  std::vector<std::shared_ptr<Shape>> const shapes{std::make_shared<Circle>(Fraction{1, 2}),
                                                   std::make_shared<Circle>(Fraction{3, 4})};
  auto const [name, areas] = pool.call<survey>("two discs", shapes);
  std::cout << name << ": " << areas.at(0) << ", " << areas.at(1) << '\n';
  return name == "two discs" && areas.at(0) == shapes[0]->area() && areas.at(1) == shapes[1]->area()
             ? 0
             : 1;
}
