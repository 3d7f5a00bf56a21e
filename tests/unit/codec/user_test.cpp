// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Users' own serialize, in every form that Boost knows, wins over the automatic handling.

#include <map>

#include <boost/serialization/array.hpp>
#include <boost/serialization/binary_object.hpp>
#include <boost/serialization/map.hpp>
#include <boost/serialization/optional.hpp>
#include <boost/serialization/shared_ptr.hpp>
#include <boost/serialization/split_free.hpp>
#include <boost/serialization/split_member.hpp>
#include <boost/serialization/string.hpp>
#include <boost/serialization/unique_ptr.hpp>
#include <boost/serialization/variant.hpp>
#include <boost/serialization/vector.hpp>

#include "support.hpp"
#include "support/build.hpp"

namespace user {

// Each form marks the value that it loads, so that the test sees that it ran.
template <class A>
void marked(A& ar, int& x) {
  ar & x;
  if constexpr (A::is_loading::value) x += 1000;
}

struct Member {
  int x = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar& BOOST_SERIALIZATION_NVP(x);
    if constexpr (A::is_loading::value) x += 1000;
  }
};

class Private {
 public:
  int x = 0;

 private:
  friend class boost::serialization::access;
  template <class A>
  void serialize(A& ar, unsigned) {
    marked(ar, x);
  }
};

struct PrivateAggregate {
  int x = 0;

 private:
  friend class boost::serialization::access;
  template <class A>
  void serialize(A& ar, unsigned) {
    marked(ar, x);
  }
};

struct SplitMember {
  int x = 0;
  template <class A>
  void save(A& ar, unsigned) const {
    ar << x;
  }
  template <class A>
  void load(A& ar, unsigned version) {
    ar >> x;
    x += 1000 * static_cast<int>(version);
  }
  BOOST_SERIALIZATION_SPLIT_MEMBER()
};

struct Free {
  int x = 0;
};
template <class A>
void serialize(A& ar, Free& value, unsigned) {
  user::marked(ar, value.x);
}

struct ByConcept {
  int x = 0;
  static constexpr bool marked = true;
};
template <class A, class T>
  requires(T::marked)
void serialize(A& ar, T& value, unsigned) {
  user::marked(ar, value.x);
}

struct Exact {
  int x = 0;
};
void serialize(procpool::OutputArchive& ar, Exact& value, unsigned) { ar & value.x; }
void serialize(procpool::InputArchive& ar, Exact& value, unsigned) {
  ar & value.x;
  value.x += 1000;
}

struct InBoost {
  int x = 0;
};
struct SplitFree {
  int x = 0;
};
template <class T>
struct Box {
  T x{};
};
struct Base {
  int x = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    marked(ar, x);
  }
};
struct Inherits : Base {};
struct FinalOne final {
  int x = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    marked(ar, x);
  }
};

}  // namespace user

BOOST_CLASS_VERSION(user::SplitMember, 1)
BOOST_SERIALIZATION_SPLIT_FREE(user::SplitFree)

namespace boost::serialization {
template <class A>
void serialize(A& ar, user::InBoost& value, unsigned) {
  user::marked(ar, value.x);
}
template <class A>
void save(A& ar, user::SplitFree const& value, unsigned) {
  ar << value.x;
}
template <class A>
void load(A& ar, user::SplitFree& value, unsigned) {
  ar >> value.x;
  value.x += 1000;
}
template <class A, class T>
void serialize(A& ar, user::Box<T>& value, unsigned) {
  user::marked(ar, value.x);
}
}  // namespace boost::serialization

namespace {

using namespace codec_test;

template <class T>
class CodecUser : public testing::Test {};
using Forms = testing::Types<user::Member, user::Private, user::PrivateAggregate, user::SplitMember,
                             user::Free, user::ByConcept, user::Exact, user::InBoost,
                             user::SplitFree, user::Box<int>, user::Inherits, user::FinalOne>;
TYPED_TEST_SUITE(CodecUser, Forms);

template <class T>
struct Around {
  T value;
  std::vector<T> several;
};

TYPED_TEST(CodecUser, Wins) {
  TypeParam value;
  value.x = 7;
  EXPECT_EQ(there_and_back(value).x, 1007);
  Around<TypeParam> around{value, {value, value}};
  auto const back = there_and_back(around);
  EXPECT_EQ(back.value.x, 1007);
  EXPECT_EQ(back.several.at(1).x, 1007);
  auto const shared = there_and_back(std::make_shared<TypeParam>(value));
  EXPECT_EQ(shared->x, 1007);
  auto const unique = there_and_back(std::make_unique<TypeParam>(value));
  EXPECT_EQ(unique->x, 1007);
  auto const mapped = there_and_back(std::map<int, TypeParam>{{1, value}});
  EXPECT_EQ(mapped.at(1).x, 1007);
  expect_every_cut_refused(around);
  flip_every_byte(around, [](auto const&) {});
}

struct Wrappers {
  int n = 0;
  double numbers[3] = {};
  std::string names[2];
  unsigned char raw[4] = {};
  std::vector<int> list;
  boost::optional<int> maybe;
  boost::variant<int, std::string> either;
  std::map<std::string, std::unique_ptr<int>> map;
  bool bits[2] = {};
  template <class A>
  void serialize(A& ar, unsigned version) {
    ar& boost::serialization::make_nvp("n", n) & numbers & names;
    ar& boost::serialization::make_binary_object(raw, sizeof raw);
    ar& boost::serialization::make_array(numbers, 3);
    ar & list & maybe & either & map & bits;
    seen = version;
  }
  unsigned seen = 99;
};

TEST(CodecUserCode, WrappersArraysAndBoostTypes) {
  Wrappers w;
  w.n = 1;
  w.numbers[2] = 2.5;
  w.names[1] = "two";
  w.raw[3] = 9;
  w.list = {1, 2};
  w.maybe = 4;
  w.either = std::string("e");
  w.map["k"] = std::make_unique<int>(5);
  w.bits[1] = true;
  auto const b = there_and_back(w);
  EXPECT_EQ(b.n, 1);
  EXPECT_EQ(b.numbers[2], 2.5);
  EXPECT_EQ(b.names[1], "two");
  EXPECT_EQ(b.raw[3], 9);
  EXPECT_EQ(b.list, w.list);
  EXPECT_TRUE(b.maybe == w.maybe);
  EXPECT_TRUE(b.either == w.either);
  EXPECT_EQ(*b.map.at("k"), 5);
  EXPECT_TRUE(b.bits[1]);
  EXPECT_EQ(b.seen, 0u);
  expect_every_cut_refused(w);
  // Boost's variant counts a wrong index down past the least int, which does no harm; UBSan ends us.
  if (!support::sanitized) {
    EXPECT_GT(flip_every_byte(w, [](auto const&) {}), 0u);
  }
}

// Boost's own container headers are all included above: ours serve, without ambiguity.
TEST(CodecUserCode, BoostContainerHeadersDoNotInterfere) {
  std::vector<std::string> const v{"a"};
  EXPECT_EQ(there_and_back(v), v);
  EXPECT_EQ(bytes_of(v).size(), 8u + 8u + 1u);
}

struct Throws {
  int x = 0;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & x;
    throw boost::archive::archive_exception(boost::archive::archive_exception::other_exception);
  }
};

TEST(CodecUserCode, BoostExceptionsBecomeOurs) {
  Bytes out;
  EXPECT_THROW(encode(out, Throws{}), procpool::SerializationError);
  EXPECT_TRUE(out.empty());
}

}  // namespace
