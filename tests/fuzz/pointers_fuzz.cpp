// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Results with objects behind pointers: owned, shared, polymorphic, in circles.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fuzz/decoding.hpp"
#include "support/shapes.hpp"

#include <boost/serialization/export.hpp>

namespace shapes {

// Circles of those that own each other are the value's own, and would be leaks of it: here only who
// is beside is known, and does not own.
using Circle = CircleWith<std::weak_ptr<Shape>>;

}  // namespace shapes

BOOST_CLASS_EXPORT(shapes::Circle)
BOOST_CLASS_EXPORT(shapes::Square)
BOOST_CLASS_EXPORT(shapes::Tagged)

namespace {

using namespace shapes;

// What does not own, as in a Circle.
struct Node {
  int value = 0;
  std::unique_ptr<Node> left;
  std::unique_ptr<Node> right;
  std::shared_ptr<std::string> label;
  std::weak_ptr<std::string> other;
};

struct Tree {
  int value = 0;
  std::vector<Tree> children;
  std::unique_ptr<Tree> left;
};

struct Mixed {
  std::shared_ptr<Shape> shape;
  std::shared_ptr<Tagged> label;
  std::shared_ptr<Square> square;
  std::unique_ptr<Shape> own;
  std::shared_ptr<int> number;
  std::weak_ptr<int> same;
};

using Drawing = std::vector<std::shared_ptr<Shape>>;

using All = fuzz::Types<std::unique_ptr<int>, std::shared_ptr<std::string>,
                        std::vector<std::shared_ptr<int>>, Drawing, Node, Tree, Mixed,
                        std::vector<std::unique_ptr<Shape>>, std::shared_ptr<Tree const>>;

}  // namespace

void fuzz::run(std::span<std::byte const> input) { All::decode(input); }

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const circle = std::make_shared<Circle>();
  auto const square = std::make_shared<Square>();
  circle->name = "c";
  circle->other = square;
  square->side = 3;
  square->tag = 5;
  auto const number = std::make_shared<int>(7);

  Node node;
  node.label = std::make_shared<std::string>("shared");
  for (auto* const side : {&node.left, &node.right}) {
    *side = std::make_unique<Node>();
    (*side)->label = node.label;
    (*side)->other = node.label;
  }
  Tree tree;
  tree.children.resize(2);
  tree.children[0].value = 1;
  tree.left = std::make_unique<Tree>();
  Mixed mixed;
  mixed.shape = square;
  mixed.label = square;
  mixed.square = square;
  mixed.own = std::make_unique<Circle>();
  mixed.number = number;
  mixed.same = number;
  std::vector<std::unique_ptr<Shape>> owned;
  owned.push_back(std::make_unique<Square>());
  owned.push_back(nullptr);
  auto const behind = std::make_shared<Tree>();
  behind->value = 4;
  return All::seeds(std::make_unique<int>(3), std::make_shared<std::string>("s"),
                    {number, number, nullptr}, {circle, square, circle, nullptr}, node, tree, mixed,
                    owned, behind);
}
