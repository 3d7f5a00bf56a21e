// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Resources: found by id while they live, named within a scope, and told apart by their kinds.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/handle/resource.hpp>
#include <procpool/errors.hpp>

namespace {

using procpool::SerializationError;
using procpool::SetupError;
using procpool::detail::Resource;
using procpool::detail::ResourceCollector;
using procpool::detail::ResourceScope;

class Thing : public Resource {
 public:
  static std::shared_ptr<Thing> make(Kind kind = Kind::memory, List parts = {}) {
    auto const made = std::make_shared<Thing>(new_id(), kind, std::move(parts));
    enter(made);
    return made;
  }
  static std::shared_ptr<Resource> enter_again(std::uint64_t id) {
    return enter(std::make_shared<Thing>(id, Kind::memory, List{}));
  }
  Thing(std::uint64_t id, Kind kind, List parts) : Resource(id, kind, std::move(parts)) {}
};

// Its successor comes while it ends.
class Replaced final : public Thing {
 public:
  explicit Replaced(std::shared_ptr<Resource>& successor)
      : Thing(new_id(), Kind::memory, {}), successor_(successor) {}
  ~Replaced() override { successor_ = enter_again(id()); }
  static std::uint64_t make_and_end(std::shared_ptr<Resource>& successor) {
    return enter(std::make_shared<Replaced>(successor))->id();
  }

 private:
  std::shared_ptr<Resource>& successor_;
};

std::string message_of(std::uint64_t id, Resource::Kind kind) {
  try {
    Resource::find(id, kind);
  } catch (std::exception const& error) {
    return error.what();
  }
  return {};
}

TEST(Resource, IsFoundByIdAndKindWhileItLives) {
  auto thing = Thing::make();
  std::uint64_t const id = thing->id();
  EXPECT_EQ(Resource::find(id, Resource::Kind::memory), thing);
  EXPECT_EQ(message_of(id, Resource::Kind::queue),
            "procpool: a message names shared memory in the place of a queue");
  std::uint64_t const ended = Resource::ended();
  thing.reset();
  EXPECT_EQ(Resource::ended(), ended + 1);
  EXPECT_THROW(Resource::find(id, Resource::Kind::memory), SerializationError);
}

TEST(Resource, OneOfAnIdThatIsKnownIsTheKnownOne) {
  auto const thing = Thing::make();
  EXPECT_EQ(Thing::enter_again(thing->id()), thing);
  EXPECT_EQ(Resource::find(thing->id(), Resource::Kind::memory), thing);
}

TEST(Resource, OneThatEndsAsItsSuccessorComesLeavesTheSuccessor) {
  std::shared_ptr<Resource> second;
  std::uint64_t const id = Replaced::make_and_end(second);
  EXPECT_EQ(Resource::find(id, Resource::Kind::memory), second);
}

TEST(Resource, WhatCouldNotArriveSaysWhyUntilItDoes) {
  constexpr std::uint64_t id = 4711;
  Resource::miss(id, Resource::Kind::queue, "no descriptors");
  EXPECT_THROW(Resource::find(id, Resource::Kind::queue), SetupError);
  EXPECT_EQ(message_of(id, Resource::Kind::queue),
            "the worker could not take a queue: no descriptors");
  auto const thing = Thing::enter_again(id);
  EXPECT_EQ(Resource::find(id, Resource::Kind::memory), thing);
}

// The numbers of processes come again, and what a worker made may outlive it.
TEST(Resource, IdsOfAForkedChildAreOthers) {
  constexpr int count = 100;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::set<std::uint64_t> own;
  for (int i = 0; i < count; ++i) own.insert(Thing::make()->id());
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (int i = 0; i < count; ++i) {
      std::uint64_t const id = Thing::make()->id();
      if (::write(ends[1], &id, sizeof id) != sizeof id) ::_exit(1);
    }
    ::_exit(0);
  }
  for (int i = 0; i < count; ++i) own.insert(Thing::make()->id());
  for (int i = 0; i < count; ++i) {
    std::uint64_t id = 0;
    ASSERT_EQ(::read(ends[0], &id, sizeof id), static_cast<ssize_t>(sizeof id));
    EXPECT_TRUE(own.insert(id).second);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(own.size(), 3u * count);
  ::close(ends[0]);
  ::close(ends[1]);
}

// ---- the scope

TEST(ResourceScope, OnlyWhatItHasIsFound) {
  auto const inside = Thing::make();
  auto const outside = Thing::make();
  Resource::List const list{inside};
  {
    ResourceScope const scope(&list);
    EXPECT_EQ(Resource::find(inside->id(), Resource::Kind::memory), inside);
    EXPECT_THROW(Resource::find(outside->id(), Resource::Kind::memory), SerializationError);
    {
      ResourceScope const nothing(nullptr);
      EXPECT_THROW(Resource::find(inside->id(), Resource::Kind::memory), SerializationError);
    }
    EXPECT_EQ(Resource::find(inside->id(), Resource::Kind::memory), inside);
  }
  EXPECT_EQ(Resource::find(outside->id(), Resource::Kind::memory), outside);
}

// ---- the collector

TEST(ResourceCollector, NothingIsSavedOutsideOfACall) {
  auto const thing = Thing::make();
  EXPECT_THROW(ResourceCollector::save(thing), SerializationError);
  ResourceCollector::note(thing);  // decoding is no claim
  Resource::List list;
  {
    ResourceCollector const collector(list);
    ResourceCollector::save(thing);
    ResourceCollector::note(thing);
  }
  EXPECT_EQ(list, Resource::List{thing});
}

TEST(Resource, AnEmptyListNeedsNoMemory) {
  EXPECT_EQ(procpool::detail::as_shared({}), nullptr);
  EXPECT_EQ(procpool::detail::as_shared({Thing::make()})->size(), 1u);
}

}  // namespace
