// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Values that nest deep: whatever the stack is on which they are encoded or decoded, they arrive or are
// refused by a sentence. Large elements do not lie on it.

#include "support.hpp"
#include "support/build.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

using namespace codec_test;

// A sanitizer's frames and calls take a multiple.
constexpr std::size_t scale = support::sanitized ? 8 : support::optimized ? 1 : 2;

// --- types that hold themselves: `around` makes one more level -----------------------------------

template <std::size_t bytes>
using Pad = std::array<char, bytes>;

struct InVector {
  std::vector<InVector> inner;
  static InVector around(InVector&& i) {
    InVector outer;
    outer.inner.push_back(std::move(i));
    return outer;
  }
};
struct InSet {
  Pad<20000> pad{};
  std::set<InSet> inner;
  bool operator<(InSet const& o) const { return inner.size() < o.inner.size(); }
  static InSet around(InSet&& i) {
    InSet outer;
    outer.inner.insert(std::move(i));
    return outer;
  }
};
struct InMap {
  Pad<2000> pad{};
  std::map<int, InMap> inner;
  static InMap around(InMap&& i) {
    InMap outer;
    outer.inner.emplace(1, std::move(i));
    return outer;
  }
};
struct AsKey {
  Pad<2000> pad{};
  std::map<AsKey, int> inner;
  bool operator<(AsKey const& o) const { return inner.size() < o.inner.size(); }
  static AsKey around(AsKey&& i) {
    AsKey outer;
    outer.inner.emplace(std::move(i), 1);
    return outer;
  }
};

// Has a const member, so that it is made of its parts.
template <template <class...> class Sequence>
struct Fixed {
  int const number = 0;
  Pad<5000> pad{};
  Sequence<Fixed> inner;
  static Fixed around(Fixed&& i) {
    Fixed outer{1, {}, {}};
    outer.inner.push_back(std::move(i));
    return outer;
  }
};
struct FixedInList {
  int const number = 0;
  Pad<5000> pad{};
  std::forward_list<FixedInList> inner;
  static FixedInList around(FixedInList&& i) {
    FixedInList outer{1, {}, {}};
    outer.inner.push_front(std::move(i));
    return outer;
  }
};
struct FixedInMap {
  int const number = 0;
  Pad<5000> pad{};
  std::unordered_map<int, FixedInMap> inner;
  static FixedInMap around(FixedInMap&& i) {
    FixedInMap outer{1, {}, {}};
    outer.inner.emplace(1, std::move(i));
    return outer;
  }
};
struct Owned {
  Pad<5000> pad{};
  std::unique_ptr<Owned> inner;
  static Owned around(Owned&& i) { return {{}, std::make_unique<Owned>(std::move(i))}; }
};
struct FixedOwned {
  int const number = 0;
  Pad<5000> pad{};
  std::unique_ptr<FixedOwned> inner;
  static FixedOwned around(FixedOwned&& i) {
    return {1, {}, std::make_unique<FixedOwned>(std::move(i))};
  }
};
struct Shared {
  int const number = 0;
  Pad<5000> pad{};
  std::shared_ptr<Shared> inner;
  static Shared around(Shared&& i) { return {1, {}, std::make_shared<Shared>(std::move(i))}; }
};
struct Maybe {
  int const number = 0;
  Pad<3000> pad{};
  std::optional<std::vector<Maybe>> inner;
  static Maybe around(Maybe&& i) {
    Maybe outer{1, {}, std::vector<Maybe>()};
    outer.inner->push_back(std::move(i));
    return outer;
  }
};
struct Either {
  int const number = 0;
  std::variant<Pad<3000>, std::vector<Either>> inner;
  static Either around(Either&& i) {
    Either outer{1, std::vector<Either>()};
    std::get<1>(outer.inner).push_back(std::move(i));
    return outer;
  }
};
struct InTuple {
  std::tuple<int const, Pad<3000>, std::vector<InTuple>> inner{0, {}, {}};
  static InTuple around(InTuple&& i) {
    InTuple outer;
    std::get<2>(outer.inner).push_back(std::move(i));
    return outer;
  }
};
struct InPair {
  int const number = 0;
  std::list<std::pair<InPair, Pad<3000>>> inner;
  static InPair around(InPair&& i) {
    InPair outer{1, {}};
    outer.inner.emplace_back(std::move(i), Pad<3000>());
    return outer;
  }
};
struct Own {
  Pad<3000> pad{};
  std::vector<Own> inner;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pad & inner;
  }
  static Own around(Own&& i) {
    Own outer;
    outer.inner.push_back(std::move(i));
    return outer;
  }
};
struct OwnInSet {
  std::set<OwnInSet> inner;
  Pad<3000> pad{};
  bool operator<(OwnInSet const& o) const { return inner.size() < o.inner.size(); }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pad & inner;
  }
  static OwnInSet around(OwnInSet&& i) {
    OwnInSet outer;
    outer.inner.insert(std::move(i));
    return outer;
  }
};
struct ByPointer {
  Pad<3000> pad{};
  std::shared_ptr<ByPointer> inner;
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pad & inner;
  }
  static ByPointer around(ByPointer&& i) { return {{}, std::make_shared<ByPointer>(std::move(i))}; }
};
// Whose constructor takes whatever comes: cannot be made in its place.
struct Greedy {
  Pad<3000> pad{};
  std::set<Greedy> inner;
  Greedy() = default;
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, Greedy>)
  explicit Greedy(T const&) {}
  bool operator<(Greedy const& o) const { return inner.size() < o.inner.size(); }
  template <class A>
  void serialize(A& ar, unsigned) {
    ar & pad & inner;
  }
  static Greedy around(Greedy&& i) {
    Greedy outer;
    outer.inner.insert(std::move(i));
    return outer;
  }
};
// Whose own code takes much of the stack.
struct Heavy {
  std::vector<Heavy> inner;
  template <class A>
  [[gnu::noinline]] void serialize(A& ar, unsigned) {
    auto* const volatile much = static_cast<char*>(__builtin_alloca(10000));
    ar & inner;
    (void)much;
  }
  static Heavy around(Heavy&& i) {
    Heavy outer;
    outer.inner.push_back(std::move(i));
    return outer;
  }
};

template <class T>
std::unique_ptr<T> nested(int levels) {
  auto whole = [] {
    if constexpr (std::default_initializable<T>) {
      return std::make_unique<T>();
    } else {
      return std::unique_ptr<T>(new T{0, {}, {}});
    }
  }();
  for (int i = 0; i < levels; ++i) whole.reset(new T(T::around(std::move(*whole))));
  return whole;
}

// --- stacks --------------------------------------------------------------------------------------

void on_a_thread(std::size_t stack, std::function<void()> body) {
  ::pthread_attr_t attributes;
  ASSERT_EQ(::pthread_attr_init(&attributes), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&attributes, stack), 0);
  ::pthread_t thread{};
  auto const run = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, &attributes, run, &body), 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

// A stack of one's own, as fibers have them, with a page below it that nobody may touch.
void on_a_fiber(std::size_t stack, std::function<void()> body) {
  static thread_local std::function<void()>* current = nullptr;
  std::size_t const guard = 4096;
  void* const memory = ::mmap(nullptr, guard + stack, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(::mprotect(memory, guard, PROT_NONE), 0);
  ::ucontext_t back, there;
  ASSERT_EQ(::getcontext(&there), 0);
  there.uc_stack.ss_sp = static_cast<char*>(memory) + guard;
  there.uc_stack.ss_size = stack;
  there.uc_link = &back;
  current = &body;
  ::makecontext(&there, [] { (*current)(); }, 0);
  ASSERT_EQ(::swapcontext(&back, &there), 0);
  ::munmap(memory, guard + stack);
}

enum class Outcome { arrived, too_many_levels, no_stack };

Outcome outcome_of(std::function<void()> const& body) {
  try {
    body();
    return Outcome::arrived;
  } catch (procpool::SerializationError const& error) {
    std::string const text = error.what();
    bool const stack = text.find("stack of this thread") != std::string::npos;
    EXPECT_TRUE(stack || text.find("512 levels") != std::string::npos) << text;
    return stack ? Outcome::no_stack : Outcome::too_many_levels;
  }
}

template <class T>
Outcome decoded(Bytes const& bytes) {
  return outcome_of([&] { decode<std::unique_ptr<T>>(bytes); });
}

template <class T>
Outcome encoded(std::unique_ptr<T> const& value) {
  return outcome_of([&] { bytes_of(value); });
}

template <class T>
class CodecDeep : public testing::Test {};
using Nested =
    testing::Types<InVector, InSet, InMap, AsKey, Fixed<std::vector>, Fixed<std::list>,
                   Fixed<std::deque>, FixedInList, FixedInMap, Owned, FixedOwned, Shared, Maybe,
                   Either, InTuple, InPair, Own, OwnInSet, ByPointer, Greedy, Heavy>;
TYPED_TEST_SUITE(CodecDeep, Nested);

// Two levels per element where it lies behind a pointer and has code of its own.
constexpr int few = 20;
constexpr int many = 240;

TYPED_TEST(CodecDeep, ArrivesOrIsRefusedOnAnyStack) {
  auto const shallow = nested<TypeParam>(few);
  auto const deep = nested<TypeParam>(many);
  auto const shallow_bytes = bytes_of(shallow);
  auto const deep_bytes = bytes_of(deep);
  EXPECT_EQ(decoded<TypeParam>(deep_bytes), Outcome::arrived);
  for (std::size_t const stack :
       {std::size_t{64} << 10, std::size_t{256} << 10, std::size_t{1} << 20}) {
    auto const look = [&] {
      if (stack > std::size_t{64} << 10) {
        EXPECT_EQ(encoded(shallow), Outcome::arrived);
        EXPECT_EQ(decoded<TypeParam>(shallow_bytes), Outcome::arrived);
      }
      encoded(deep);
      auto const outcome = decoded<TypeParam>(deep_bytes);
      // The elements do not lie on the stack: 240 of 3,000 bytes, let alone of 20,000, would not fit.
      if (stack == std::size_t{1} << 20 && !std::is_same_v<TypeParam, Heavy>) {
        EXPECT_EQ(outcome, Outcome::arrived);
      }
    };
    on_a_thread(stack * scale, look);
    // AddressSanitizer does not know of this stack, and that its frames are gone after an exception.
    if (!support::sanitized) on_a_fiber(stack * scale, look);
  }
}

TYPED_TEST(CodecDeep, HostileDepthEndsWithASentence) {
  // What looks like the message of a value without end.
  auto const one = bytes_of(nested<TypeParam>(1));
  auto const two = bytes_of(nested<TypeParam>(2));
  Bytes endless;
  auto const middle = two.size() - one.size();
  auto const head = std::mismatch(one.begin(), one.end(), two.begin()).first - one.begin();
  endless.insert(endless.end(), two.begin(), two.begin() + head);
  for (int i = 0; i < 2000; ++i) {
    endless.insert(endless.end(), two.begin() + head,
                   two.begin() + head + static_cast<std::ptrdiff_t>(middle));
  }
  endless.insert(endless.end(), two.begin() + head, two.end());
  for (std::size_t const stack : {std::size_t{64} << 10, std::size_t{1} << 20}) {
    on_a_thread(stack * scale, [&] {
      EXPECT_THROW(decode<std::unique_ptr<TypeParam>>(endless), procpool::SerializationError);
    });
  }
}

// A stack about which nothing can be found out (here: memory that goes on below it) is no reason to
// refuse what fits.
TEST(CodecDeepStacks, UnknownStackGivesNoFalseAlarm) {
  std::vector<std::byte> memory(std::size_t{4} << 20);
  static thread_local bool arrived = false;
  static Bytes bytes;
  bytes = bytes_of(nested<InMap>(many));
  ::ucontext_t back, there;
  ASSERT_EQ(::getcontext(&there), 0);
  there.uc_stack.ss_sp = memory.data() + memory.size() / 2;
  there.uc_stack.ss_size = memory.size() / 2;
  there.uc_link = &back;
  ::makecontext(&there, [] { arrived = decoded<InMap>(bytes) == Outcome::arrived; }, 0);
  ASSERT_EQ(::swapcontext(&back, &there), 0);
  EXPECT_TRUE(arrived);
}

TEST(CodecDeepStacks, RefusalTellsTheLevelsAndAWayOut) {
  auto const heavy = nested<Heavy>(many);
  on_a_thread((std::size_t{64} << 10) * scale, [&] {
    try {
      bytes_of(heavy);
      FAIL();
    } catch (procpool::SerializationError const& error) {
      std::string const text = error.what();
      EXPECT_NE(text.find(" levels"), std::string::npos) << text;
      EXPECT_NE(text.find("larger stack"), std::string::npos) << text;
    }
  });
}

}  // namespace
