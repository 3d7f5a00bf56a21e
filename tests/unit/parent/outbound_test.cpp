// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The sending half of a worker, over a real channel whose other end is in this process: what goes ahead of
// a chunk and in which order, what the worker has already, and what is left without room or descriptor.

#include "parent/outbound.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/handle/share.hpp>

#include "os/event.hpp"
#include "os/socket.hpp"
#include "support/crowd.hpp"
#include "support/one_by_one.hpp"

namespace procpool::parent {
namespace {

using channel::InboxKind;
using channel::Where;
using detail::Resource;
using detail::Share;

constexpr std::size_t ring_size = 64 * 1024;
constexpr std::size_t limit = ring_size / 4;
constexpr std::byte fill_byte{7};

void first_function(detail::Operation&) {}
void second_function(detail::Operation&) {}

std::shared_ptr<Share> share_with(std::size_t size) {
  return Share::create(detail::Bytes(size), {}, typeid(std::string));
}

class OutboundTest : public testing::Test {
 protected:
  OutboundTest() {
    auto [ours, theirs] = os::socket_pair();
    control_ = std::move(ours);
    worker_control_ = os::duplicate(theirs.get());
    worker_.emplace(channel_.inbox(), channel_.outbox(), ring_size, os::Event(), std::move(theirs));
    outbound_.emplace(channel_, *peer_buffers_, control_.get());
  }

  struct Sent {
    std::size_t bytes = 1;
    Resource::List resources{};
    Resource::List of_function{};
    detail::Trampoline code = first_function;
    detail::TaskOptions options{};
  };
  static Chunk chunk_of(Sent sent) {
    detail::Function function;
    function.code = sent.code;
    function.argument_size = sent.bytes;
    function.returns_nothing = true;
    function.resources = std::move(sent.of_function);
    auto task = std::make_shared<detail::Task>(std::move(function), std::move(sent.options));
    auto input = std::make_shared<SharedInput>(
        detail::InputBuffer{
            0, 1, detail::Bytes(sent.bytes, fill_byte), {}, std::move(sent.resources)},
        sent.bytes);
    return {std::move(task), std::move(input), 0, 1};
  }
  static Chunk chunk_of() { return chunk_of(Sent{}); }

  bool put(Chunk const& chunk, detail::MessageBlock const* block = nullptr) {
    bool const sent = outbound_->put(chunk, block).has_value();
    channel_.publish();
    return sent;
  }

  struct Frame {
    channel::InboxHeader header;
    std::string payload;
  };
  // Takes all frames as a worker would. A worker keeps notices about memory to itself.
  std::vector<Frame> take() {
    std::vector<Frame> frames;
    while (worker_->has_frame() && worker_->wait()) {
      auto const payload = worker_->payload();
      frames.push_back(
          {worker_->header(), {reinterpret_cast<char const*>(payload.data()), payload.size()}});
      worker_->finish_frame();
    }
    return frames;
  }
  std::vector<InboxKind> take_kinds() {
    std::vector<InboxKind> kinds;
    for (Frame const& frame : take()) kinds.push_back(frame.header.kind);
    return kinds;
  }
  bool descriptor_is_under_way() const {
    pollfd ready{worker_control_.get(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }
  // Leaves less room than the smallest frame needs.
  void fill() {
    for (std::size_t size = limit; size >= 16; size /= 2) {
      while (channel_.fits(size)) channel_.put_resource({1, 1, 0, 0}, {detail::Bytes(size)});
    }
    while (channel_.fits(0)) channel_.put_resource({1, 1, 0, 0}, {});
  }

  channel::ParentEnd channel_{ring_size};
  os::UniqueFd control_;
  os::UniqueFd worker_control_;
  std::shared_ptr<PeerBuffers> peer_buffers_ = std::make_shared<PeerBuffers>();
  BufferPool buffer_pool_;
  std::optional<channel::OneByOne> worker_;
  std::optional<Outbound> outbound_;
};

TEST_F(OutboundTest, WhatAChunkNeedsGoesAheadOfItAndOnce) {
  auto const of_function = share_with(10);
  auto const of_input = share_with(20);
  Chunk const chunk = chunk_of({.resources = {of_input}, .of_function = {of_function}});
  ASSERT_TRUE(put(chunk));
  auto const frames = take();
  ASSERT_EQ(frames.size(), 4u);
  EXPECT_EQ(frames[0].header.kind, InboxKind::resource);
  EXPECT_EQ(frames[0].header.task, of_function->id());
  EXPECT_EQ(frames[0].payload.size(), 10u);
  EXPECT_EQ(frames[1].header.kind, InboxKind::resource);
  EXPECT_EQ(frames[1].header.task, of_input->id());
  EXPECT_EQ(frames[2].header.kind, InboxKind::register_function);
  EXPECT_EQ(frames[3].header.kind, InboxKind::chunk);
  EXPECT_EQ(frames[3].header.function, frames[2].header.function);
  EXPECT_EQ(frames[3].header.task, chunk.task->id());

  ASSERT_TRUE(put(chunk));
  EXPECT_EQ(take_kinds(), std::vector{InboxKind::chunk});
  ASSERT_TRUE(put(chunk_of({.resources = {of_function}, .code = second_function})));
  EXPECT_EQ(take_kinds(), (std::vector{InboxKind::register_function, InboxKind::chunk}));
}

TEST_F(OutboundTest, EachPutReturnsTheSerialOfItsFirstElement) {
  EXPECT_EQ(outbound_->put(chunk_of(), nullptr), 0u);
  EXPECT_EQ(outbound_->put(chunk_of(), nullptr), 1u);
}

// The element that a timeout ends must be certain, so no two of them are claimed at once.
TEST_F(OutboundTest, ElementsWithATimeoutAreClaimedOneByOne) {
  static detail::TaskControl const control{.timeout = std::chrono::seconds(1)};
  detail::TaskOptions options;
  options.control = &control;
  ASSERT_TRUE(put(chunk_of()));
  ASSERT_TRUE(put(chunk_of({.options = std::move(options)})));
  auto const frames = take();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[1].header.apart, 0u);
  EXPECT_NE(frames[2].header.apart, 0u);
}

TEST_F(OutboundTest, ARegistrationThatFoundNoRoomGoesWithTheNextAttempt) {
  fill();
  std::uint64_t const before = channel_.tail();
  EXPECT_FALSE(put(chunk_of()));
  EXPECT_EQ(channel_.tail(), before);
  take();
  ASSERT_TRUE(put(chunk_of()));
  EXPECT_EQ(take_kinds(), (std::vector{InboxKind::register_function, InboxKind::chunk}));
}

TEST_F(OutboundTest, AFunctionThatCannotBeSentIsNotRegistered) {
  auto const nowhere = reinterpret_cast<detail::Trampoline>(std::uintptr_t{16});
  EXPECT_ANY_THROW(outbound_->put(chunk_of({.code = nowhere}), nullptr));
  EXPECT_ANY_THROW(outbound_->put(chunk_of({.code = nowhere}), nullptr)) << "nor the second time";
  channel_.publish();
  EXPECT_FALSE(worker_->has_frame());
}

TEST_F(OutboundTest, AChunkWithoutRoomLeavesTheRegistrationWithTheWorker) {
  // Room for the registration, and not for the largest chunk behind it.
  for (int i = 0; i < 3; ++i) channel_.put_resource({1, 1, 0, 0}, {detail::Bytes(limit)});
  Chunk const chunk = chunk_of({.bytes = limit});
  std::uint64_t const before = channel_.tail();
  EXPECT_FALSE(put(chunk));
  EXPECT_GT(channel_.tail(), before);
  auto const kinds = take_kinds();
  ASSERT_EQ(kinds.size(), 4u);
  EXPECT_EQ(kinds.back(), InboxKind::register_function);
  EXPECT_EQ(outbound_->put(chunk, nullptr), 0u) << "the first attempt had no serial";
  channel_.publish();
  EXPECT_EQ(take_kinds(), std::vector{InboxKind::chunk});
}

TEST_F(OutboundTest, SharesBeyondTheRingGoInPartsAndEachOnce) {
  Resource::List shares;
  for (int i = 0; i < 50; ++i) shares.push_back(share_with(10'000));
  Chunk const chunk = chunk_of({.resources = shares});
  std::vector<Frame> all;
  int attempts = 0;
  bool sent = false;
  while (!sent) {
    std::uint64_t const before = channel_.tail();
    sent = put(chunk);
    ASSERT_GT(channel_.tail(), before) << "each attempt gets on";
    ++attempts;
    for (Frame& frame : take()) all.push_back(std::move(frame));
  }
  EXPECT_GT(attempts, 5);
  ASSERT_EQ(all.size(), shares.size() + 2);
  for (std::size_t i = 0; i < shares.size(); ++i) EXPECT_EQ(all[i].header.task, shares[i]->id());
  EXPECT_EQ(all.back().header.kind, InboxKind::chunk);
}

TEST_F(OutboundTest, ALargeShareGoesAsAFile) {
  auto const large = share_with(limit + 1);
  Chunk const chunk = chunk_of({.resources = {share_with(limit), large}});
  Outbound::seal_large_values(chunk, limit);
  ASSERT_TRUE(put(chunk));
  auto const frames = take();
  ASSERT_EQ(frames.size(), 4u);
  EXPECT_EQ(frames[0].header.where, Where::ring);
  EXPECT_EQ(frames[1].header.where, Where::file);
  EXPECT_EQ(frames[1].payload.size(), limit + 1);
}

TEST_F(OutboundTest, AShareWhoseDescriptorIsRefusedGoesWithTheNextAttempt) {
  Resource::List shares;
  for (int i = 0; i < 700; ++i)
    shares.push_back(share_with(limit + 1));  // more than the socket holds
  Chunk const chunk = chunk_of({.resources = shares});
  std::size_t arrived = 0;
  int attempts = 0;
  bool sent = false;
  while (!sent) {
    sent = put(chunk);
    ++attempts;
    for (Frame const& frame : take()) {
      if (frame.header.kind == InboxKind::resource) ++arrived;
    }
  }
  EXPECT_EQ(arrived, shares.size());
  EXPECT_GT(attempts, 1);
}

TEST_F(OutboundTest, ADescriptorThatIsRefusedLeavesNoFrame) {
  worker_.reset();
  worker_control_.reset();
  Chunk const chunk = chunk_of({.resources = {share_with(limit + 1)}});
  EXPECT_FALSE(outbound_->put(chunk, nullptr));
  EXPECT_EQ(channel_.tail(), 0u);
}

// ---- resources with descriptors

class Pipes final : public Resource {
 public:
  static std::shared_ptr<Pipes> make() {
    auto [one, other] = os::socket_pair();
    return std::make_shared<Pipes>(std::move(one), std::move(other));
  }
  Pipes(os::UniqueFd one, os::UniqueFd other)
      : Resource(new_id(), Kind::queue, {}), one_(std::move(one)), other_(std::move(other)) {}
  std::vector<int> descriptors() const override { return {one_.get(), other_.get()}; }

 private:
  os::UniqueFd one_;
  os::UniqueFd other_;
};

TEST_F(OutboundTest, DescriptorsGoOnceAheadOfWhatNamesThem) {
  auto const pipes = Pipes::make();
  Chunk const chunk = chunk_of({.resources = {pipes}});
  ASSERT_TRUE(put(chunk));
  EXPECT_TRUE(descriptor_is_under_way());
  auto const frames = take();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].header.kind, InboxKind::resource);
  EXPECT_EQ(frames[0].header.task, pipes->id());
  EXPECT_EQ(frames[0].header.function, static_cast<std::uint32_t>(Resource::Kind::queue));
  EXPECT_EQ(frames[0].header.apart, 2u);
  EXPECT_FALSE(descriptor_is_under_way());
  ASSERT_TRUE(put(chunk));
  EXPECT_EQ(take_kinds(), std::vector{InboxKind::chunk});
  EXPECT_EQ(outbound_->given(pipes->id()), pipes);
  EXPECT_EQ(outbound_->given(pipes->id() + 1), nullptr);
}

TEST_F(OutboundTest, DescriptorsWithoutRoomForTheirFrameDoNotGo) {
  fill();
  Chunk const chunk = chunk_of({.resources = {Pipes::make()}});
  EXPECT_FALSE(put(chunk));
  EXPECT_FALSE(descriptor_is_under_way());
  take();
  EXPECT_TRUE(put(chunk));
  EXPECT_TRUE(descriptor_is_under_way());
}

// As a worker sees it when a task has read from its socket.
TEST_F(OutboundTest, DescriptorsOfALaterFrameAreNotTakenForThoseOfThis) {
  auto const pipes = Pipes::make();
  std::uint64_t const other_id = pipes->id() + 1;
  os::send_packet(control_.get(), std::as_bytes(std::span(&other_id, 1)), pipes->descriptors(),
                  false);
  channel_.put_resource(
      {pipes->id(), static_cast<std::uint32_t>(pipes->kind()), 0, pipes->descriptors().size()}, {});
  channel_.publish();
  EXPECT_FALSE(worker_->wait());
  EXPECT_TRUE(worker_->descriptors_gone());
}

TEST_F(OutboundTest, AnotherPacketIsNotTakenForAPayload) {
  auto const block = copy_for(buffer_pool_, peer_buffers_, detail::Bytes(limit + 1));
  int const file = block->fd();
  std::uint64_t const id = 4711;
  os::send_packet(control_.get(), std::as_bytes(std::span(&id, 1)), std::span(&file, 1), false);
  detail::Bytes const bytes(limit + 1);
  channel::ParentEnd::PayloadRef ref{bytes};
  ref.where = Where::file;
  channel_.put_resource({1, 1, 0, 0}, ref);
  channel_.publish();
  EXPECT_FALSE(worker_->wait());
  EXPECT_TRUE(worker_->descriptors_gone());
}

class InACrowd : public OutboundTest {
 public:
  bool waits(support::Crowd& crowd) {
    Chunk const chunk = chunk_of({.resources = {Pipes::make()}});
    crowd.gather();
    if (put(chunk)) return false;
    crowd.leave();
    return put(chunk);
  }

 private:
  void TestBody() override {}
};

TEST(Outbound, ChunksWaitWhileTheUserHasTooManyDescriptorsOnTheirWay) {
  char const end =
      support::in_a_crowd([](support::Crowd& crowd) { return InACrowd().waits(crowd); });
  if (end == 'n') GTEST_SKIP() << "the system sets no such limit";
  EXPECT_EQ(end, 'v');
}

// ---- evictions

TEST_F(OutboundTest, AnIdleWorkerIsToldOnceOfWhatHasEnded) {
  EXPECT_EQ(outbound_->put_evictions(), Outbound::Notices::none);
  auto const kept = share_with(10);
  ASSERT_TRUE(put(chunk_of({.resources = {kept, Pipes::make()}})));
  take();
  EXPECT_EQ(outbound_->put_evictions(), Outbound::Notices::put);
  EXPECT_EQ(outbound_->put_evictions(), Outbound::Notices::none);
  EXPECT_EQ(outbound_->given(kept->id()), kept);
}

TEST_F(OutboundTest, SharesThatHaveEndedAreEvictedAheadOfTheNextChunk) {
  auto const kept = share_with(10);
  ASSERT_TRUE(put(chunk_of({.resources = {kept, share_with(10)}})));
  take();
  ASSERT_TRUE(put(chunk_of()));
  auto const frames = take();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].header.kind, InboxKind::forget);
  EXPECT_EQ(frames[0].payload.size(), sizeof(std::uint64_t));
  ASSERT_TRUE(put(chunk_of({.resources = {kept}})));
  EXPECT_EQ(take_kinds(), std::vector{InboxKind::chunk});
}

TEST_F(OutboundTest, EvictionsWithoutRoomGoWithALaterChunk) {
  ASSERT_TRUE(put(chunk_of({.resources = {share_with(10)}})));
  take();
  fill();
  EXPECT_FALSE(put(chunk_of()));
  take();
  ASSERT_TRUE(put(chunk_of()));
  EXPECT_EQ(take_kinds(), (std::vector{InboxKind::forget, InboxKind::chunk}));
  ASSERT_TRUE(put(chunk_of()));
  EXPECT_EQ(take_kinds(), std::vector{InboxKind::chunk}) << "that was told once";
}

// ---- message memory

TEST_F(OutboundTest, TheDescriptorOfABlockGoesOnce) {
  Chunk const chunk = chunk_of({.bytes = limit + 1});
  auto const block = copy_for(buffer_pool_, peer_buffers_, chunk.bytes());
  for (bool const first : {true, false}) {
    ASSERT_TRUE(put(chunk, block.get()));
    EXPECT_EQ(descriptor_is_under_way(), first);
    auto const frames = take();
    ASSERT_EQ(frames.back().header.where, Where::block);
    EXPECT_TRUE(frames.back().payload == std::string(limit + 1, static_cast<char>(fill_byte)));
    EXPECT_TRUE(peer_buffers_->has(block->id()));
  }
}

TEST_F(OutboundTest, ABlockThatWasNotSentIsNotKnownToTheWorker) {
  Chunk const chunk = chunk_of({.bytes = limit + 1});
  auto const block = copy_for(buffer_pool_, peer_buffers_, chunk.bytes());
  ASSERT_TRUE(put(chunk_of()));  // registers the function
  take();
  fill();
  EXPECT_FALSE(put(chunk, block.get()));
  EXPECT_FALSE(peer_buffers_->has(block->id()));
  take();
  ASSERT_TRUE(put(chunk, block.get()));
  EXPECT_EQ(take().back().payload.size(), limit + 1);
}

TEST_F(OutboundTest, NoticesWithoutRoomAreKept) {
  EXPECT_EQ(outbound_->put_notices(), Outbound::Notices::none);
  peer_buffers_->sent(7);
  peer_buffers_->gone(7);
  fill();
  EXPECT_EQ(outbound_->put_notices(), Outbound::Notices::no_room);
  channel_.publish();
  take();
  std::uint64_t const before = channel_.tail();
  EXPECT_EQ(outbound_->put_notices(), Outbound::Notices::put);
  EXPECT_EQ(channel_.tail() - before, channel::ParentEnd::footprint(sizeof(std::uint64_t)));
  EXPECT_EQ(outbound_->put_notices(), Outbound::Notices::none);
}

TEST_F(OutboundTest, NoticesGoAheadOfTheNextChunk) {
  ASSERT_TRUE(put(chunk_of()));
  take();
  peer_buffers_->sent(7);
  peer_buffers_->gone(7);
  std::uint64_t const before = channel_.tail();
  ASSERT_TRUE(put(chunk_of()));
  EXPECT_EQ(channel_.tail() - before, channel::ParentEnd::footprint(sizeof(std::uint64_t)) +
                                          channel::ParentEnd::footprint(1));
  EXPECT_EQ(outbound_->put_notices(), Outbound::Notices::none);
}

// ---- lies

TEST_F(OutboundTest, AnImpossibleCursorIsNotBelieved) {
  fill();
  os::RingMapping const outbox(channel_.outbox(), channel::outbox_control_bytes, ring_size,
                               os::Access::read_write);
  reinterpret_cast<channel::OutboxWords*>(outbox.control())->inbox_head = 1 << 30;
  EXPECT_THROW(outbound_->put(chunk_of(), nullptr), channel::BadFrame);
}

}  // namespace
}  // namespace procpool::parent
