// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The resources that an outcome names: they come ahead of it and go with it; and what a faulty worker
// may claim of them costs that worker, or nothing.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/handle/byte_pipe_end.hpp>
#include <procpool/detail/handle/object_memory.hpp>
#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/errors.hpp>

#include "os/memfd.hpp"
#include "os/socket.hpp"
#include "support/build.hpp"
#include "support/few_descriptors.hpp"
#include "support/lingering.hpp"
#include "unit/parent/slot_support.hpp"

namespace procpool::parent {
namespace {

using channel::OutboxHeader;
using channel::OutboxKind;
using channel::ResourceRecord;
using detail::BytePipeEnd;
using detail::ObjectMemory;
using detail::SharedMemory;

constexpr auto memory_kind = static_cast<std::uint32_t>(Resource::Kind::memory);
constexpr auto object_kind = static_cast<std::uint32_t>(Resource::Kind::object);
constexpr auto pipe_kind = static_cast<std::uint32_t>(Resource::Kind::pipe_end);

std::shared_ptr<ObjectMemory> object_of(int number) {
  return ObjectMemory::create<int>(100, [number](std::span<std::byte> memory) -> int& {
    return *new (memory.data()) int(number);
  });
}

class SlotResourceTest : public SlotTest {
 protected:
  std::span<std::byte const> value() const { return std::as_bytes(std::span(text_)); }
  // The worker answers the first element of a chunk of one, and names these.
  void answer_naming(Resource::List const& named) {
    give(chunk_of(1, 0));
    std::uint64_t const serial = worker_->header().serial;
    ASSERT_TRUE(worker_->begin(serial));
    worker_->append_value(serial, value(), false, named);
    worker_->finish_frame();
  }
  // As a faulty worker could write it.
  void publish_record(ResourceRecord const& record, std::uint64_t size = sizeof(ResourceRecord)) {
    std::uint64_t const tail = words().tail.load();
    OutboxHeader header{};
    header.kind = OutboxKind::resource;
    header.size = size;
    std::memcpy(outbox_->ring() + tail % ring_bytes, &header, sizeof header);
    std::memcpy(outbox_->ring() + (tail + sizeof header) % ring_bytes, &record, sizeof record);
    words().tail.store(tail + channel::aligned(sizeof header + size));
  }
  // And another worker takes its place.
  void expect_refused(char const* words) {
    SlotTest::expect_refused(words);
    slot_.reap();
    open();
  }

  std::string text_ = "named";
};

TEST_F(SlotResourceTest, AnOutcomeBringsWhatItNames) {
  auto memory = SharedMemory::create(1, 100);
  auto [end, other] = BytePipeEnd::make();
  std::uint64_t const memory_id = memory->id();
  std::uint64_t const end_id = end->id();
  answer_naming({memory, end});
  // In a process of its own the worker would have its own objects.
  memory.reset();
  end.reset();
  auto const collected = slot_.collect();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  auto const& block = collected.items[0].block;
  ASSERT_TRUE(block.resources);
  ASSERT_EQ(block.resources->size(), 2u);
  EXPECT_EQ(block.resources->at(0)->id(), memory_id);
  EXPECT_EQ(block.resources->at(1)->id(), end_id);
  EXPECT_EQ(block.payload.size(), text_.size());

  answer_naming({});
  auto const next = slot_.collect();
  ASSERT_EQ(next.items.size(), 1u);
  EXPECT_FALSE(next.items[0].block.resources) << "they were of one outcome";
}

TEST_F(SlotResourceTest, WhatLivesHereAlreadyIsTheSame) {
  auto const memory = SharedMemory::create(1, 100);
  answer_naming({memory});
  auto const collected = slot_.collect();
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(collected.items[0].block.resources->at(0), memory);
}

TEST_F(SlotResourceTest, AValueIsFoundIfThisWorkerHasIt) {
  auto const given = share_of(10);
  auto const stranger = share_of(10);
  ASSERT_EQ(slot_.put(chunk_with({given})), Slot::Put::sent);
  take_chunk();
  std::uint64_t const serial = worker_->header().serial;
  ASSERT_TRUE(worker_->begin(serial));
  worker_->append_value(serial, {}, false, {given, stranger});
  worker_->finish_frame();
  auto const collected = slot_.collect();
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(*collected.items[0].block.resources, Resource::List{given});
}

TEST_F(SlotResourceTest, AnObjectIsFoundIfThisWorkerHasIt) {
  auto const given = object_of(5);
  auto const stranger = object_of(5);
  ASSERT_EQ(slot_.put(chunk_with({given})), Slot::Put::sent);
  take_chunk();
  std::uint64_t const serial = worker_->header().serial;
  ASSERT_TRUE(worker_->begin(serial));
  worker_->append_value(serial, {}, false, {given, stranger});
  worker_->finish_frame();
  auto const collected = slot_.collect();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_EQ(*collected.items[0].block.resources, Resource::List{given});
}

TEST_F(SlotResourceTest, WhatCameBeforeADeathIsOfNoLaterOutcome) {
  give(chunk_of(1, 0));
  auto const memory = SharedMemory::create(1, 100);
  send(memory->id(), memory->descriptors());
  publish_record({memory->id(), memory_kind, 1});
  slot_.collect();
  slot_.reap();
  open();
  answer_naming({});
  auto const collected = slot_.collect();
  ASSERT_EQ(collected.items.size(), 1u);
  EXPECT_FALSE(collected.items[0].block.resources);
}

TEST_F(SlotResourceTest, DescriptorsWithoutANumberFailTheirOutcomeAlone) {
  if (support::sanitized) GTEST_SKIP() << "the sanitizer opens files";
  auto memory = SharedMemory::create(1, 100);
  answer_naming({memory});
  memory.reset();
  auto const collected = [&] {
    support::FewDescriptors const none(0);
    return slot_.collect();
  }();
  EXPECT_EQ(collected.bad, "");
  ASSERT_EQ(collected.items.size(), 1u);
  auto const& block = collected.items[0].block;
  EXPECT_EQ(block.kind, detail::OutcomeBlock::Kind::failed);
  EXPECT_FALSE(block.resources);
  EXPECT_THROW(std::rethrow_exception(block.failure), SetupError);

  answer_naming({SharedMemory::create(1, 100)});
  auto const next = slot_.collect();
  ASSERT_EQ(next.items.size(), 1u);
  EXPECT_EQ(next.items[0].block.kind, detail::OutcomeBlock::Kind::values);
}

// ---- what goes to a worker

// It would lie in the socket of a worker that does not come to it.
TEST_F(SlotResourceTest, WhatIsCarriedGoesToAWorkerThatIsFree) {
  auto const [end, other] = BytePipeEnd::make();
  Chunk chunk = chunk_with({end});
  give(chunk_of(1));
  ASSERT_EQ(slot_.put(chunk), Slot::Put::full);
  EXPECT_FALSE(slot_.load().writable);
  answer(worker_->header().serial);
  worker_->finish_frame();
  EXPECT_EQ(slot_.collect().items.size(), 1u);
  EXPECT_EQ(slot_.put(chunk), Slot::Put::sent);
  EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::sent) << "others may wait behind it";
}

// ---- lies

TEST_F(SlotResourceTest, ARecordOfAnotherSizeIsRefused) {
  give(chunk_of(1, 0));
  publish_record({1, memory_kind, 0}, sizeof(ResourceRecord) - 1);
  expect_refused("has no record of it");
}

TEST_F(SlotResourceTest, AResourceWithoutAnOutcomeThatIsOwedIsRefused) {
  publish_record({1, memory_kind, 0});
  expect_refused("without an outcome that is owed");
}

TEST_F(SlotResourceTest, MoreThanOneOutcomeMayNameAreRefused) {
  give(chunk_of(1, 0));
  auto const memory = SharedMemory::create(1, 100);
  for (std::size_t i = 0; i < channel::max_named; ++i) {
    send(memory->id(), memory->descriptors());
    publish_record({memory->id(), memory_kind, 1});
    ASSERT_EQ(slot_.collect().bad, "") << i;
  }
  send(memory->id(), memory->descriptors());
  publish_record({memory->id(), memory_kind, 1});
  expect_refused("names too many");
}

TEST_F(SlotResourceTest, MoreDescriptorsThanAResourceHasAreRefused) {
  give(chunk_of(1, 0));
  publish_record({1, memory_kind, 4});
  expect_refused("4 descriptors");
}

TEST_F(SlotResourceTest, AResourceWithoutItsDescriptorIsRefused) {
  give(chunk_of(1, 0));
  publish_record({1, memory_kind, 1});
  expect_refused("without its descriptor");
}

TEST_F(SlotResourceTest, DescriptorsOfAnotherIdAreRefused) {
  give(chunk_of(1, 0));
  auto const memory = SharedMemory::create(1, 100);
  send(memory->id() + 1, memory->descriptors());
  publish_record({memory->id(), memory_kind, 1});
  expect_refused("of another one");
}

TEST_F(SlotResourceTest, AnUnknownKindIsRefused) {
  auto const memory = SharedMemory::create(1, 100);
  for (std::uint32_t const kind : {0u, 1u, 99u}) {
    give(chunk_of(1, 0));
    send(4711, memory->descriptors());
    publish_record({4711, kind, 1});
    expect_refused("came from a worker");
  }
}

// Its offsets would be followed here.
TEST_F(SlotResourceTest, AnObjectOfAWorkerIsRefused) {
  auto object = object_of(5);
  std::uint64_t const id = object->id();
  os::UniqueFd const file = os::duplicate(object->descriptors().at(0));
  object.reset();
  give(chunk_of(1, 0));
  send(id, {file.get()});
  publish_record({id, object_kind, 1});
  expect_refused("a shared object came from a worker");
}

// Else a worker could pass its own memory off as what others have under that id.
TEST_F(SlotResourceTest, TheIdOfSomethingElseIsRefused) {
  auto const mine = SharedMemory::create(1, 100);
  auto const theirs = SharedMemory::create(1, 100);
  give(chunk_of(1, 0));
  send(mine->id(), theirs->descriptors());
  publish_record({mine->id(), memory_kind, 1});
  expect_refused("with the id of something else");
}

TEST_F(SlotResourceTest, MemoryThatCanShrinkIsRefused) {
  os::Memfd const memory = os::Memfd::create("unsealed", 8192);
  give(chunk_of(1, 0));
  send(4711, {memory.fd()});
  publish_record({4711, memory_kind, 1});
  expect_refused("");
}

TEST_F(SlotResourceTest, WhatIsNoPipeIsRefusedAsOne) {
  auto const [end, other] = BytePipeEnd::make();
  std::vector<int> const proper = end->descriptors();
  int streams[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, streams), 0);
  os::UniqueFd const one(streams[0]);
  os::UniqueFd const two(streams[1]);
  os::Memfd const memory = os::Memfd::create("of no pipe", 8192);
  for (auto const& descriptors : {std::vector<int>{memory.fd(), proper[1], proper[2]},
                                  std::vector<int>{proper[0], proper[0], proper[0]},
                                  std::vector<int>{proper[0], one.get()}}) {
    give(chunk_of(1, 0));
    send(4711, descriptors);
    publish_record({4711, pipe_kind, static_cast<std::uint32_t>(descriptors.size())});
    expect_refused("a pipe end came with");
  }
}

// To ask them, or to close them, may take as long as they like.
TEST_F(SlotResourceTest, DescriptorsOfOtherKindsAreNotTouched) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  os::UniqueFd const read(ends[0]);
  os::UniqueFd const write(ends[1]);
  give(chunk_of(1, 0));
  send(4711, {read.get()});
  publish_record({4711, memory_kind, 1});
  expect_refused("of another kind");
}

// A socket that is refused may have a packet in it whose descriptor takes its time to be closed.
TEST_F(SlotResourceTest, WhatLingersInARefusedSocketHoldsUpNobody) {
  constexpr auto queue_kind = static_cast<std::uint32_t>(Resource::Kind::queue);
  struct Lie {
    char const* what;
    ResourceRecord record;
  };
  for (Lie const& lie :
       {Lie{"another id", {4712, memory_kind, 1}}, Lie{"memory", {4711, memory_kind, 1}},
        Lie{"a queue", {4711, queue_kind, 1}}, Lie{"a pipe", {4711, pipe_kind, 1}},
        Lie{"another number", {4711, queue_kind, 2}}}) {
    SCOPED_TRACE(lie.what);
    auto [in, out] = os::socket_pair();
    support::Lingering lingering;
    lingering.pass(in.get());
    give(chunk_of(1, 0));
    send(4711, {out.get()});
    out.reset();
    publish_record(lie.record);
    EXPECT_TRUE(support::at_once([&] { expect_refused(""); }));
  }
}

}  // namespace
}  // namespace procpool::parent
