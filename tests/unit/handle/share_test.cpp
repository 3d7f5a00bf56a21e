// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Shared values as bytes: made once, found by id, decoded once by whoever looks, named by those
// that are encoded while somebody collects, and never part of an element.

#include <procpool/shared.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "os/memfd.hpp"
#include "support/fake_engine.hpp"

namespace {

using api_test::FakePool;
using procpool::SerializationError;
using procpool::Shared;
using procpool::detail::Bytes;
using procpool::detail::Payload;
using procpool::detail::Resource;
using procpool::detail::ResourceCollector;
using procpool::detail::Share;

// Counts how often it is loaded, and can refuse.
struct Counting {
  int value = 0;
  static inline std::atomic<int> loads{0};
  static inline std::atomic<int> refusals{0};

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & value;
    if constexpr (Archive::is_loading::value) {
      ++loads;
      if (refusals > 0 && refusals-- > 0) throw std::runtime_error("not today");
    }
  }
};

struct Nested {
  std::string name;
  Shared<std::string> inner;
};

std::shared_ptr<Share> make(std::string_view text) {
  auto const* const data = reinterpret_cast<std::byte const*>(text.data());
  return Share::create(Bytes(data, data + text.size()), {}, typeid(std::string));
}

// The bytes of the value, as a call sends them.
template <class T>
Bytes message(T const& value) {
  Resource::List named;
  ResourceCollector const collector(named);
  Bytes out;
  procpool::detail::encode(out, value);
  return out;
}

std::string text_of(Share const& share) {
  return {reinterpret_cast<char const*>(share.bytes().data()), share.bytes().size()};
}

// ---- the registry

TEST(Share, IsFoundWhileItLives) {
  auto share = make("abc");
  std::uint64_t const id = share->id();
  EXPECT_NE(id, 0u);
  EXPECT_EQ(Share::find(id), share);
  std::uint64_t const ended = Resource::ended();
  share.reset();
  EXPECT_EQ(Resource::ended(), ended + 1);
  try {
    Share::find(id);
    FAIL();
  } catch (SerializationError const& error) {
    EXPECT_NE(std::string(error.what()).find("no longer shared"), std::string::npos);
  }
}

TEST(Share, IdsAreItsOwn) {
  auto const one = make("a");
  auto const two = make("a");
  EXPECT_NE(one->id(), two->id());
}

TEST(Share, AdoptedTwiceItIsOne) {
  Bytes const bytes(3, std::byte{'x'});
  auto const first = Share::adopt(77, Payload(bytes), 0);
  EXPECT_EQ(Share::adopt(77, Payload(bytes), 0), first);
  EXPECT_EQ(Share::find(77), first);
  EXPECT_EQ(text_of(*first), "xxx");
}

TEST(Share, LiesInMemoryOrInAFile) {
  for (std::size_t const size : {0u, 100u, 100'000u}) {
    std::string const text(size, 's');
    auto const share = make(text);
    EXPECT_EQ(text_of(*share), text);
    procpool::os::Memfd const& file = share->sealed();
    EXPECT_EQ(&share->sealed(), &file);
    EXPECT_EQ(file.size(), size);
    EXPECT_NE(file.seals() & F_SEAL_WRITE, 0);
    EXPECT_EQ(text_of(*share), text);
  }
}

// ---- the handle

TEST(Shared, AnEmptyOneRefusesToBeLookedAt) {
  Shared<std::string> const empty;
  EXPECT_FALSE(empty.valid());
  EXPECT_THROW(empty.get(), std::logic_error);
  EXPECT_THROW(*empty, std::logic_error);
  EXPECT_THROW(static_cast<void>(empty->size()), std::logic_error);
  Bytes out;
  procpool::detail::encode(out, empty);
  EXPECT_FALSE(procpool::detail::decode<Shared<std::string>>(out).valid());
}

TEST(Shared, ShowsTheValue) {
  auto const shared = procpool::detail::share(std::string("abc"));
  EXPECT_TRUE(shared.valid());
  EXPECT_EQ(*shared, "abc");
  EXPECT_EQ(shared->size(), 3u);
  std::string const& as_itself = shared;
  EXPECT_EQ(&as_itself, &shared.get());
  auto const copy = shared;
  EXPECT_EQ(&copy.get(), &shared.get());
}

TEST(Shared, IsDecodedOnceByAllThreadsTogether) {
  Counting::loads = 0;
  auto const shared = procpool::detail::share(Counting{7});
  EXPECT_EQ(Counting::loads, 0);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { right += shared->value == 7; });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(Counting::loads, 1);
}

TEST(Shared, AFailedDecodingIsTriedAgain) {
  auto const shared = procpool::detail::share(Counting{7});
  Counting::loads = 0;
  Counting::refusals = 2;
  EXPECT_THROW(shared.get(), std::runtime_error);
  EXPECT_THROW(shared.get(), std::runtime_error);
  EXPECT_EQ(shared->value, 7);
  EXPECT_EQ(shared->value, 7);
  EXPECT_EQ(Counting::loads, 3);
}

TEST(Shared, AnotherTypeIsRefused) {
  auto const shared = procpool::detail::share(std::string("abc"));
  Bytes const out = message(shared);
  auto const wrong = procpool::detail::decode<Shared<std::vector<int>>>(out);
  EXPECT_THROW(wrong.get(), SerializationError);
  EXPECT_EQ(*shared, "abc");
  EXPECT_THROW(wrong.get(), SerializationError);
}

TEST(Shared, TravelsAsItsIdAlone) {
  auto const shared = procpool::detail::share(std::string(100'000, 'x'));
  Bytes const out = message(shared);
  EXPECT_EQ(out.size(), sizeof(std::uint64_t));
  EXPECT_EQ(procpool::detail::fixed_size<Shared<int>>, 0u);
  EXPECT_FALSE(procpool::detail::bitwise<Shared<int>>);
  auto const back = procpool::detail::decode<Shared<std::string>>(out);
  EXPECT_EQ(&back.get(), &shared.get());
}

TEST(Shared, NobodyHasTheIdAnyMore) {
  Bytes const out = message(procpool::detail::share(std::string("gone")));
  EXPECT_THROW(procpool::detail::decode<Shared<std::string>>(out), SerializationError);
}

// ---- the collector

TEST(ResourceCollector, CollectsEachOnce) {
  auto const one = procpool::detail::share(1);
  auto const two = procpool::detail::share(2);
  Resource::List list;
  Bytes out;
  {
    ResourceCollector const collector(list);
    procpool::detail::encode(out, std::vector{one, two, one, Shared<int>(), two, one});
  }
  EXPECT_EQ(list.size(), 2u);
  // Nobody collects.
  EXPECT_THROW(procpool::detail::encode(out, procpool::detail::share(3)), SerializationError);
  EXPECT_EQ(list.size(), 2u);
}

TEST(ResourceCollector, TheInnermostCollects) {
  auto const shared = procpool::detail::share(1);
  Resource::List outer;
  Resource::List inner;
  Bytes out;
  ResourceCollector const collecting(outer);
  {
    ResourceCollector const collector(inner);
    procpool::detail::encode(out, shared);
  }
  EXPECT_EQ(inner.size(), 1u);
  EXPECT_TRUE(outer.empty());
  procpool::detail::encode(out, shared);
  EXPECT_EQ(outer.size(), 1u);
}

TEST(ResourceCollector, PartsComeBeforeTheWhole) {
  auto inner = procpool::detail::share(std::string("inner"));
  auto outer = procpool::detail::share(Nested{"outer", inner});
  Resource::List list;
  Bytes out;
  {
    ResourceCollector const collector(list);
    procpool::detail::encode(out, outer);
  }
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1]->parts().front(), list[0]);
  EXPECT_EQ(outer->inner.get(), "inner");

  // As another process would get them.
  std::uint64_t const id = list[1]->id();
  auto const bytes = static_cast<Share const&>(*list[1]).bytes();
  Payload const payload(Bytes(bytes.begin(), bytes.end()));
  inner = {};
  auto const part = list[0];
  outer = {};
  list.clear();
  auto const adopted = Share::adopt(id, payload, 1);
  EXPECT_EQ(adopted->parts().front(), part);
  auto const* const nested = static_cast<Nested const*>(
      adopted->value(typeid(Nested), procpool::detail::load_shared<Nested>));
  EXPECT_EQ(nested->name, "outer");
  EXPECT_EQ(*nested->inner, "inner");
}

// ---- what a call makes of it

std::size_t size_of(std::string const& text, int) { return text.size(); }
std::size_t size_of_copy(std::string text) { return text.size(); }
std::size_t size_of_handle(Shared<std::string> const& text) { return text->size(); }
std::size_t size_of_handle_copy(int, Shared<std::string> text) { return text->size(); }

struct Base {
  int number = 0;
  int twice() const { return 2 * number; }
};
class Derived : public Base {
 public:
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & number;
  }
};
int number_of(Base const& base) { return base.number; }

struct SizePlus {
  Shared<std::string> text;
  std::size_t operator()(std::size_t more) const { return text->size() + more; }
};

TEST(SharedArgument, ElementsStaySmall) {
  FakePool fake;
  auto const text = fake.pool.share(std::string(std::size_t{4} << 20, 'x'));
  std::vector<int> const numbers(1000, 1);
  auto const bound = fake.pool.map(procpool::bind_front(size_of, text), numbers);
  EXPECT_EQ(bound.size(), 1000u);
  EXPECT_EQ(fake.engine.argument_bytes.size(), 1000 * sizeof(int));

  fake.engine.argument_bytes.clear();
  std::vector<Shared<std::string>> const texts(1000, text);
  EXPECT_EQ(fake.pool.map<size_of>(texts, numbers).back(), text->size());
  // Its length, the id, the number.
  EXPECT_EQ(fake.engine.argument_bytes.size(), 1000 * (8 + 8 + sizeof(int)));
}

TEST(SharedArgument, GivenForItsValueAndForItself) {
  FakePool fake;
  auto& pool = fake.pool;
  auto text = pool.share(std::string("abc"));
  auto const& constant = text;
  EXPECT_EQ(pool.call<size_of>(text, 1), 3u);
  EXPECT_EQ(pool.call<size_of>(constant, 1), 3u);
  EXPECT_EQ(pool.call<size_of>(pool.share(std::string("ab")), 1), 2u);
  EXPECT_EQ(pool.call<size_of_copy>(text), 3u);
  EXPECT_EQ(pool.call<size_of_handle>(text), 3u);
  EXPECT_EQ(pool.call<size_of_handle_copy>(1, text), 3u);
  EXPECT_EQ(pool.call([](auto const& given) { return given->size(); }, text), 3u);
  std::vector<std::size_t> const threes{3, 3};
  std::vector<int> const numbers{1, 2};
  EXPECT_EQ(pool.map(procpool::bind_front(size_of, text), numbers), threes);
  EXPECT_EQ(pool.map(procpool::bind_back(size_of_handle_copy, text), numbers), threes);
  EXPECT_EQ(pool.submit(procpool::bind_front<size_of_copy>(text)).get(), 3u);
  EXPECT_EQ(pool.starmap<size_of>(std::vector{std::tuple(text, 1), std::tuple(text, 2)}), threes);
  EXPECT_EQ(pool.map(SizePlus{text}, std::vector<std::size_t>{1, 2}),
            (std::vector<std::size_t>{4, 5}));
  EXPECT_EQ(pool.call([](std::vector<Shared<std::string>> const& all) { return all[1]->size(); },
                      std::vector{text, text}),
            3u);
}

TEST(SharedArgument, AlsoAsItsBaseAndAsTheObjectOfAMember) {
  FakePool fake;
  Derived derived;
  derived.number = 21;
  auto const shared = fake.pool.share(derived);
  EXPECT_EQ(fake.pool.call<number_of>(shared), 21);
  EXPECT_EQ(fake.pool.call(procpool::bind_front<&Base::twice>(shared)), 42);
}

TEST(SharedArgument, TheTaskKeepsIt) {
  FakePool fake;
  auto text = fake.pool.share(std::string("abc"));
  auto future = fake.pool.submit([](Shared<std::string> const& same) { return same; }, text);
  text = {};
  text = future.get();
  EXPECT_EQ(*text, "abc");
}

}  // namespace
