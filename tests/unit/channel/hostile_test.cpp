// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The parent's end refuses the lies of a hostile worker in the words and frames of a channel. Each test has
// one lie, and everything else is as it should be.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "support.hpp"

namespace procpool::channel {
namespace {

// A correct frame at the beginning of the outbox.
OutboxHeader right_header(std::uint64_t size) {
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.size = size;
  header.count = 1;
  return header;
}

TEST_F(ChannelTest, ACursorThatIsWrongInOneWayIsRefused) {
  struct Lie {
    char const* what;
    std::uint64_t tail;
    std::uint64_t size;
  };
  constexpr std::uint64_t beyond = aligned(ring_bytes + 1);
  for (Lie const& lie : {Lie{"more than the ring holds", beyond, 1},
                         Lie{"and all of that", beyond, beyond - sizeof(OutboxHeader)},
                         Lie{"not aligned", aligned(sizeof(OutboxHeader) + 1) + 1, 1},
                         Lie{"less than a header", frame_alignment, 0},
                         Lie{"not all of a header", sizeof(OutboxHeader) - frame_alignment, 0}}) {
    OutboxHeader const header = right_header(lie.size);
    std::memcpy(outbox_->ring(), &header, sizeof header);
    words().tail.store(lie.tail);
    EXPECT_THROW(parent_.next(), BadFrame) << lie.what;
  }
  OutboxHeader const header = right_header(1);
  std::memcpy(outbox_->ring(), &header, sizeof header);
  words().tail.store(aligned(sizeof header + 1));
  EXPECT_TRUE(parent_.next());
}

TEST_F(ChannelTest, APayloadInNoKnownPlaceIsRefused) {
  for (std::uint32_t const where : {3u, 77u, ~0u}) {
    OutboxHeader header = right_header(16);
    header.where = static_cast<Where>(where);
    std::memcpy(outbox_->ring(), &header, sizeof header);
    words().tail.store(aligned(sizeof header + 64));
    EXPECT_THROW(parent_.next(), BadFrame) << where;
  }
}

TEST_F(ChannelTest, AbsurdCursorsAreRefused) {
  for (std::uint64_t const tail :
       {std::uint64_t{1}, std::uint64_t{16}, std::uint64_t{ring_bytes + 16}, ~std::uint64_t{0},
        ~std::uint64_t{15}}) {
    words().tail.store(tail);
    EXPECT_THROW(parent_.next(), BadFrame) << tail;
  }
  words().tail.store(0);
  words().inbox_head.store(1);
  EXPECT_THROW(parent_.fits(ring_bytes), BadFrame);
  words().inbox_head.store(~std::uint64_t{0});
  EXPECT_THROW(parent_.fits(ring_bytes), BadFrame);
}

TEST_F(ChannelTest, AnInboxCursorThatGoesBackIsRefused) {
  put(1);
  run("r");
  EXPECT_FALSE(parent_.fits(ring_bytes));
  words().inbox_head.store(0);
  EXPECT_THROW(parent_.fits(ring_bytes), BadFrame);
}

TEST_F(ChannelTest, AFrameLongerThanItsBytesIsRefused) {
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  for (std::uint64_t const size :
       {std::uint64_t{17}, std::uint64_t{ring_bytes}, ~std::uint64_t{0}, ~std::uint64_t{47}}) {
    header.size = size;
    std::memcpy(outbox_->ring(), &header, sizeof header);
    words().tail.store(aligned(sizeof header + 1));
    EXPECT_THROW(parent_.next(), BadFrame) << size;
  }
}

TEST_F(ChannelTest, AFrameOfUnknownKindIsRefused) {
  OutboxHeader header{};
  header.kind = static_cast<OutboxKind>(77);
  std::memcpy(outbox_->ring(), &header, sizeof header);
  words().tail.store(sizeof header);
  EXPECT_THROW(parent_.next(), BadFrame);
}

TEST_F(ChannelTest, MarksThatCannotBeTrueAreNotBelieved) {
  put(5);
  words().done.store(pack_done(3, ring_bytes * 2));
  EXPECT_FALSE(parent_.remains(0, 5).believable);
  words().done.store(pack_done(6, 0));
  EXPECT_FALSE(parent_.remains(0, 5).believable);
  words().done.store(0);
  words().claim.store(6);
  EXPECT_FALSE(parent_.remains(0, 5).believable);
  EXPECT_THROW(parent_.revoke(0), BadFrame);
  words().claim.store(~std::uint64_t{0});
  EXPECT_FALSE(parent_.remains(0, 5).believable);
  EXPECT_THROW(parent_.revoke(0), BadFrame);
}

}  // namespace
}  // namespace procpool::channel
