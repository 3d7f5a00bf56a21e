// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Objects behind pointers: sharing, cycles, true classes, ownership; and the same under hostile
// bytes.

#include <map>

#include "support.hpp"
#include "support/build.hpp"
#include "support/people.hpp"
#include "support/shapes.hpp"

#ifdef SUPPORT_ADDRESS_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif

#include <boost/serialization/export.hpp>

namespace shapes {

using Circle = CircleWith<std::shared_ptr<Shape>>;

struct Hidden : Tagged {};

// Whose constructor may throw, and whose memory is counted.
struct Brittle : Tagged {
  static inline int memory = 0;
  static inline int alive = 0;
  static inline bool throws = false;
  std::string text = "long enough to lie on the heap, and so to be missed";
  std::shared_ptr<Tagged> inner;
  Brittle() {
    if (throws) throw std::runtime_error("brittle");
    ++alive;
  }
  ~Brittle() override { --alive; }
  static void* operator new(std::size_t bytes) {
    ++memory;
    return ::operator new(bytes);
  }
  static void* operator new(std::size_t, void* place) noexcept { return place; }
  static void operator delete(void* place) {
    --memory;
    ::operator delete(place);
  }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar& boost::serialization::base_object<Tagged>(*this) & text & inner;
  }
};
// More than memory has by itself. Boost finds out where a base lies by an object that is not aligned so, which the
// sanitizer takes for what it is.
constexpr std::size_t much_aligned = support::sanitized ? alignof(std::max_align_t) : 64;

// The same without memory of its own: the leak checker counts.
struct Plainer : Tagged {
  alignas(much_aligned) int aligned = 0;
  Plainer() {
    if (Brittle::throws) throw std::runtime_error("plainer");
  }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar& boost::serialization::base_object<Tagged>(*this) & aligned;
  }
};

}  // namespace shapes

BOOST_CLASS_EXPORT(shapes::Circle)
BOOST_CLASS_EXPORT(shapes::Square)
BOOST_CLASS_EXPORT(shapes::Tagged)
BOOST_CLASS_EXPORT(shapes::Brittle)
BOOST_CLASS_EXPORT(shapes::Plainer)

namespace {

using namespace codec_test;
using namespace people;
using namespace shapes;

// Shared children, a raw pointer back to the parent: the usual tree.
struct Node : std::enable_shared_from_this<Node> {
  int value = 0;
  std::vector<std::shared_ptr<Node>> children;
  std::weak_ptr<Node> back;
  Node* parent = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & value & children & back & parent;
  }
};

std::shared_ptr<Node> family() {
  auto root = std::make_shared<Node>();
  root->value = 1;
  for (int i = 0; i < 2; ++i) {
    root->children.push_back(std::make_shared<Node>());
    root->children[i]->value = 10 + i;
    root->children[i]->parent = root.get();
    root->children[i]->back = root;
  }
  root->children.push_back(root->children[0]);
  return root;
}

std::vector<std::shared_ptr<Shape>> drawing() {
  auto circle = std::make_shared<Circle>();
  circle->name = "c";
  circle->radius = 2;
  auto square = std::make_shared<Square>();
  square->name = "s";
  square->side = 3;
  square->tag = 5;
  circle->other = square;
  auto second = std::make_shared<Circle>();
  return {circle, square, second, circle, nullptr};
}

TEST(CodecPointers, SharedPlainValues) {
  auto const person = std::make_shared<Person>(Person{"Ada", 1815});
  using Crowd = std::vector<std::shared_ptr<Person const>>;
  auto const back = there_and_back(Crowd{person, nullptr, person});
  EXPECT_EQ(back[0]->name, "Ada");
  EXPECT_EQ(back[0], back[2]);
  EXPECT_EQ(back[1], nullptr);
  EXPECT_EQ(*there_and_back(std::make_shared<int>(4)), 4);
  EXPECT_EQ(there_and_back(std::weak_ptr<int>()).lock(), nullptr);
}

TEST(CodecPointers, TreeWithBackPointers) {
  auto const root = there_and_back(family());
  ASSERT_EQ(root->children.size(), 3u);
  EXPECT_EQ(root->children[0], root->children[2]);
  EXPECT_EQ(root->children[1]->value, 11);
  EXPECT_EQ(root->children[1]->parent, root.get());
  EXPECT_EQ(root->children[1]->back.lock(), root);
  EXPECT_EQ(root->shared_from_this(), root);
  EXPECT_EQ(root.use_count(), 1);
}

struct Ring {
  std::shared_ptr<Ring> next;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & next;
  }
};
struct PlainRing {
  std::shared_ptr<PlainRing> next;
};

TEST(CodecPointers, Cycles) {
  auto const check = [](auto ring) {
    ring->next = std::make_shared<std::remove_cvref_t<decltype(*ring)>>();
    ring->next->next = ring;
    auto back = there_and_back(ring);
    EXPECT_EQ(back->next->next, back);
    EXPECT_NE(back->next, back);
    back->next->next = nullptr;
    ring->next->next = nullptr;
  };
  check(std::make_shared<Ring>());
  check(std::make_shared<PlainRing>());
}

TEST(CodecPointers, PolymorphicKeepsItsClassAndIdentity) {
  auto const back = there_and_back(drawing());
  auto const circle = std::dynamic_pointer_cast<Circle>(back[0]);
  auto const square = std::dynamic_pointer_cast<Square>(back[1]);
  ASSERT_TRUE(circle && square && std::dynamic_pointer_cast<Circle>(back[2]));
  EXPECT_EQ(circle->other, square);
  EXPECT_EQ(back[3], back[0]);
  EXPECT_EQ(back[4], nullptr);
  EXPECT_EQ(square->tag, 5);
  EXPECT_EQ(square->side, 3);
  EXPECT_EQ(square->seen, 3u);
  EXPECT_EQ(square->name, "s");
}

TEST(CodecPointers, SecondBaseAndOneObjectThroughTwoBases) {
  auto square = std::make_shared<Square>();
  square->side = 4;
  std::pair<std::shared_ptr<Tagged>, std::shared_ptr<Shape>> const both{square, square};
  auto const back = there_and_back(both);
  EXPECT_EQ(dynamic_cast<Square*>(back.first.get()), dynamic_cast<Square*>(back.second.get()));
  EXPECT_EQ(back.second->area(), 16);
  std::unique_ptr<Tagged> tag = std::make_unique<Square>();
  tag->tag = 8;
  auto const unique = there_and_back(tag);
  EXPECT_TRUE(dynamic_cast<Square*>(unique.get()));
  EXPECT_EQ(unique->tag, 8);
}

TEST(CodecPointers, DerivedClassThatIsNotExportedIsRefused) {
  std::shared_ptr<Tagged> const hidden = std::make_shared<Hidden>();
  try {
    bytes_of(hidden);
    FAIL();
  } catch (procpool::SerializationError const& error) {
    EXPECT_NE(std::string(error.what()).find("BOOST_CLASS_EXPORT"), std::string::npos);
  }
}

TEST(CodecPointers, AConstructorThatThrowsLeaksNothing) {
  auto const chain = [](int length) {
    std::shared_ptr<Tagged> first;
    for (int i = 0; i < length; ++i) {
      auto next = std::make_shared<Brittle>();
      next->inner = std::move(first);
      first = std::move(next);
    }
    return first;
  };
  std::shared_ptr<Tagged> const brittle = chain(1);
  std::unique_ptr<Tagged> const plainer = std::make_unique<Plainer>();
  auto const brittle_bytes = bytes_of(brittle);
  auto const plainer_bytes = bytes_of(plainer);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(
                &dynamic_cast<Plainer&>(*decode<std::unique_ptr<Tagged>>(plainer_bytes)).aligned) %
                much_aligned,
            0u);
  ASSERT_EQ(Brittle::memory, 0) << "by make_shared, which does not count";
  decode<std::shared_ptr<Tagged>>(brittle_bytes);
  EXPECT_EQ(Brittle::memory, 0);
  Brittle::throws = true;
  EXPECT_THROW(decode<std::shared_ptr<Tagged>>(brittle_bytes), std::runtime_error);
  EXPECT_THROW(decode<std::unique_ptr<Tagged>>(plainer_bytes), std::runtime_error);
  Brittle::throws = false;
  EXPECT_EQ(Brittle::memory, 0);
  EXPECT_EQ(Brittle::alive, 1);
  // And wherever a message ends, or nests too deep.
  for (std::size_t length = 0; length < brittle_bytes.size(); ++length) {
    EXPECT_THROW(decode<std::shared_ptr<Tagged>>(std::span(brittle_bytes).first(length)),
                 procpool::SerializationError);
  }
  auto const one = bytes_of(chain(2)).size() - brittle_bytes.size();
  auto longer = bytes_of(chain(3));
  for (int i = 0; i < 600; ++i) {
    Bytes const link(longer.begin() + static_cast<std::ptrdiff_t>(brittle_bytes.size() - 1),
                     longer.begin() + static_cast<std::ptrdiff_t>(brittle_bytes.size() - 1 + one));
    longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(brittle_bytes.size() - 1),
                  link.begin(), link.end());
  }
  EXPECT_THROW(decode<std::shared_ptr<Tagged>>(longer), procpool::SerializationError);
  EXPECT_EQ(Brittle::memory, 0);
  EXPECT_EQ(Brittle::alive, 1);
}

struct City {
  std::string name;
  explicit City(std::string n) : name(std::move(n)) {}
  template <class A>
  void serialize(A&, unsigned) {}
};
template <class A>
void save_construct_data(A& ar, City const* city, unsigned) {
  ar << city->name;
}
template <class A>
void load_construct_data(A& ar, City* city, unsigned) {
  std::string name;
  ar >> name;
  ::new (city) City(name);
}

TEST(CodecPointers, ConstructData) {
  EXPECT_EQ(there_and_back(std::make_unique<City>("Rome"))->name, "Rome");
  EXPECT_EQ(there_and_back(std::make_shared<City>("Oslo"))->name, "Oslo");
  expect_every_cut_refused(std::make_shared<City>("Rome"));
}

struct Part {
  int n = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & n;
  }
};
// By value first, pointed to afterwards: the pointers find the values again.
struct Graph {
  std::vector<Part> parts;
  std::map<int, Part> named;
  Part* best = nullptr;
  Part* one = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & parts & named & best & one;
  }
};

Graph graph() {
  Graph g;
  g.parts.resize(3);
  g.parts[1].n = 5;
  g.named[4].n = 6;
  g.best = &g.parts[1];
  g.one = &g.named[4];
  return g;
}

TEST(CodecPointers, PointersToValues) {
  auto const g = graph();
  Bytes out = bytes_of(g);
  auto const back = decode<Graph>(out);
  EXPECT_EQ(back.best, &back.parts[1]);
  EXPECT_EQ(back.one, &back.named.at(4));
  EXPECT_EQ(back.best->n, 5);
}

struct Late {
  Part part;
  Part* pointer = nullptr;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pointer & part;
  }
};

TEST(CodecPointers, ValueAfterPointerIsRefused) {
  Late late;
  late.pointer = &late.part;
  EXPECT_THROW(bytes_of(late), procpool::SerializationError);
}

struct TwoUnique {
  std::unique_ptr<Part> a, b;
  std::shared_ptr<Part> c;
};

TEST(CodecPointers, NobodyOwnsTwice) {
  TwoUnique two{std::make_unique<Part>(), nullptr, nullptr};
  auto bytes = bytes_of(two);  // a: fresh + 4 bytes; b: null; c: null
  ASSERT_EQ(bytes.size(), 7u);
  // b := the object of a
  Bytes twice(bytes.begin(), bytes.begin() + 5);
  for (int byte : {2, 0, 0, 0, 0, 0}) twice.push_back(static_cast<std::byte>(byte));
  EXPECT_THROW(decode<TwoUnique>(twice), procpool::SerializationError);
  // c := the object of a
  Bytes shared(bytes.begin(), bytes.begin() + 6);
  for (int byte : {2, 0, 0, 0, 0}) shared.push_back(static_cast<std::byte>(byte));
  EXPECT_THROW(decode<TwoUnique>(shared), procpool::SerializationError);
}

TEST(CodecPointers, CutAnywhere) {
  expect_every_cut_refused(family());
  expect_every_cut_refused(drawing());
  expect_every_cut_refused(
      TwoUnique{std::make_unique<Part>(), std::make_unique<Part>(), std::make_shared<Part>()});
}

std::size_t weigh(std::shared_ptr<Node> const& node, int depth = 0) {
  if (!node || depth > 5) return 0;
  std::size_t sum = static_cast<std::size_t>(node->value);
  if (node->parent) sum += static_cast<std::size_t>(node->parent->value);
  for (auto const& child : node->children) sum += weigh(child, depth + 1);
  return sum;
}

// Breaks the cycles that a changed byte may have closed, so that the leak checker reports nothing.
void take_apart(std::shared_ptr<Node> const& node) {
  if (!node) return;
  auto const children = std::exchange(node->children, {});
  for (auto const& child : children) take_apart(child);
}
void take_apart(std::shared_ptr<Shape> const& shape) {
  if (auto* circle = dynamic_cast<Circle*>(shape.get())) {
    auto const inner = std::exchange(circle->other, nullptr);
    take_apart(inner);
  }
}

TEST(CodecPointers, FlippedBytesInGraphs) {
  volatile std::size_t sink = 0;
#ifdef SUPPORT_ADDRESS_SANITIZER
  // A changed byte may make a raw pointer that owns nothing the only one to an object, or close a
  // cycle of shared_ptr just before the message is refused: lost, as in any program, but no worse.
  __lsan::ScopedDisabler const not_about_leaks;
#endif
  EXPECT_GT(flip_every_byte(family(),
                            [&](auto const& root) {
                              sink = sink + weigh(root);
                              take_apart(root);
                            }),
            100u);
  EXPECT_GT(flip_every_byte(drawing(),
                            [&](auto const& all) {
                              for (auto const& shape : all) {
                                if (shape) sink = sink + std::size_t{shape->area() > 1};
                              }
                              for (auto const& shape : all) take_apart(shape);
                            }),
            100u);
  flip_every_byte(
      TwoUnique{std::make_unique<Part>(), std::make_unique<Part>(), std::make_shared<Part>()},
      [](auto const&) {});
  flip_every_byte(std::make_unique<City>("Rome"), [](auto const&) {});
  auto square = std::make_shared<Square>();
  flip_every_byte(std::pair<std::shared_ptr<Tagged>, std::shared_ptr<Shape>>(square, square),
                  [](auto const&) {});
}

}  // namespace
