// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Peer buffers: a worker's block is mapped once however often it comes, is returned when nothing refers
// to it, and is believed only if it can do no harm.

#include "parent/peer_buffers.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>

#include "channel/parent_end.hpp"
#include "codec/message_memory.hpp"

namespace procpool::parent {
namespace {

using channel::BadFrame;

struct PeerBuffersTest : testing::Test {
  std::shared_ptr<PeerBuffers> peer_buffers = std::make_shared<PeerBuffers>();
  detail::MessageBlock block{100'000, false};

  os::Memfd file() const { return os::Memfd(os::duplicate(block.fd())); }
  detail::Payload receive(std::uint64_t size = 5) {
    return peer_buffers->receive(file(), block.id(), detail::MessageBlock::ahead, size);
  }
};

TEST_F(PeerBuffersTest, ViewsABlockOnce) {
  std::memcpy(block.data(), "first", 5);
  auto first = receive();
  EXPECT_EQ(std::memcmp(first.bytes().data(), "first", 5), 0);
  auto const* const place = first.bytes().data();
  first = {};
  std::memcpy(block.data(), "again", 5);
  auto const again = receive();
  EXPECT_EQ(again.bytes().data(), place);
  EXPECT_EQ(std::memcmp(again.bytes().data(), "again", 5), 0);
}

TEST_F(PeerBuffersTest, HandsABlockBackWhenNobodyRefersToIt) {
  std::optional<detail::Payload> payload = receive();
  std::optional<detail::Payload> copy = payload;
  payload.reset();
  EXPECT_FALSE(peer_buffers->take_notices(10).any());
  copy.reset();
  auto news = peer_buffers->take_notices(10);
  EXPECT_EQ(news.words.gone, 0u);
  EXPECT_EQ(news.ids, std::vector{block.id()});
  EXPECT_FALSE(peer_buffers->take_notices(10).any()) << "once";
  peer_buffers->not_told(std::move(news));
  EXPECT_EQ(peer_buffers->take_notices(10).ids, std::vector{block.id()});
}

TEST_F(PeerBuffersTest, TellsNoMoreThanFits) {
  for (std::uint64_t id = 1; id <= 5; ++id) peer_buffers->sent(id);
  for (std::uint64_t id = 1; id <= 5; ++id) peer_buffers->gone(id);
  auto const some = peer_buffers->take_notices(2);
  EXPECT_EQ(some.ids, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(some.words.gone, 2u);
  EXPECT_EQ(peer_buffers->take_notices(100).ids.size(), 3u);
}

TEST_F(PeerBuffersTest, PayloadsOutliveThem) {
  std::memcpy(block.data(), "alive", 5);
  auto const payload = receive();
  peer_buffers.reset();
  EXPECT_EQ(std::memcmp(payload.bytes().data(), "alive", 5), 0);
}

TEST_F(PeerBuffersTest, LetGoWhatIsNotUsed) {
  auto const now = TimePoint::clock::now();
  EXPECT_EQ(peer_buffers->trim(now), std::nullopt);
  auto payload = receive();
  auto const again = peer_buffers->trim(now);
  ASSERT_TRUE(again);
  EXPECT_EQ(peer_buffers->trim(*again), std::nullopt);
  EXPECT_TRUE(peer_buffers->take_notices(10).words.let_go);
  EXPECT_EQ(payload.bytes().size(), 5u) << "which is still there";
  EXPECT_FALSE(peer_buffers->take_notices(10).any());
}

TEST_F(PeerBuffersTest, BelieveOnlyWhatCanDoNoHarm) {
  auto const refused = [&](os::Memfd const& memory, std::uint64_t offset, std::uint64_t size) {
    EXPECT_THROW(peer_buffers->receive(memory, 1, offset, size), BadFrame);
  };
  constexpr std::uint64_t ahead = detail::MessageBlock::ahead;
  refused(os::Memfd::create("unsealed", 100'000), ahead, 5);
  refused(file(), ahead, block.capacity() + 1);
  refused(file(), ahead, ~std::uint64_t{0});
  refused(file(), 5'000, 5);
  refused(os::Memfd(os::UniqueFd(::open("/dev/zero", O_RDONLY))), ahead, 5);
  // Pages of another kind may be missing when they are read.
  int const huge = ::memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
  if (huge >= 0) {
    os::Memfd memory{os::UniqueFd(huge)};
    ASSERT_EQ(::ftruncate(huge, 2 << 20), 0);
    memory.seal(F_SEAL_SHRINK);
    refused(memory, ahead, 5);
  }
}

}  // namespace
}  // namespace procpool::parent
