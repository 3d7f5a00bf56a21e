// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Buffers in message memory: what is encoded into them lies there, they go back where they came from,
// and a buffer keeps its own hint whatever is moved into it.

#include "codec/message_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>
#include <string>
#include <vector>

#include <procpool/detail/codec/codec.hpp>

namespace procpool::detail {
namespace {

struct Shelf final : MessageMemory {
  std::shared_ptr<MessageBlock> take(std::size_t bytes) override {
    ++asked;
    if (empty) return nullptr;
    return last = std::make_shared<MessageBlock>(bytes, false);
  }
  int asked = 0;
  bool empty = false;
  std::shared_ptr<MessageBlock> last;
};

Bytes buffer_in(Shelf& shelf) { return Bytes(Bytes::allocator_type(&shelf)); }

TEST(MessageBlock, HasRoomAndASize) {
  for (std::size_t const bytes : {std::size_t{1}, std::size_t{65'472}, std::size_t{65'473},
                                  std::size_t{1} << 20, (std::size_t{9} << 20) + 1}) {
    MessageBlock const block(bytes, true);
    EXPECT_GE(block.capacity(), bytes);
    EXPECT_TRUE(block.fits(bytes));
    EXPECT_TRUE(block.fits(block.capacity()));
    EXPECT_FALSE(block.fits(block.capacity() + 1));
    EXPECT_LE(block.footprint(), std::max<std::size_t>(64 * 1024, bytes * 2 + 128));
  }
  EXPECT_TRUE(MessageBlock(1 << 20, true).fits(1 << 19));
  EXPECT_FALSE(MessageBlock(std::size_t{16} << 20, true).fits(1 << 20)) << "most of it is wasted";
}

TEST(MessageBlock, CannotBeResizedAndIfAskedNotBeWritten) {
  for (bool const readers_only : {false, true}) {
    MessageBlock const block(100'000, readers_only);
    EXPECT_NE(::ftruncate(block.fd(), 0), 0);
    EXPECT_EQ(::pwrite(block.fd(), "x", 1, 0) == 1, !readers_only);
  }
}

TEST(MessageMemory, HoldsWhatIsEncodedAtOnce) {
  Shelf shelf;
  Bytes out = buffer_in(shelf);
  std::vector<std::uint64_t> values(1'000'000);
  std::iota(values.begin(), values.end(), 0);
  encode(out, values);
  ASSERT_EQ(shelf.asked, 1);
  EXPECT_EQ(message_block_of(out), shelf.last);
  EXPECT_EQ(decode<std::vector<std::uint64_t>>(out), values);
  out = Bytes();
  EXPECT_EQ(shelf.last.use_count(), 1) << "released";
}

// It is not known how large it will be, and memory there is real.
TEST(MessageMemory, IsNotForWhatGrowsByAndBy) {
  Shelf shelf;
  Bytes out = buffer_in(shelf);
  encode(out, std::vector<std::string>(10'000, std::string(100, 's')));
  EXPECT_EQ(shelf.asked, 0);
  EXPECT_EQ(message_block_of(out), nullptr);
}

TEST(MessageMemory, MayHaveNone) {
  Shelf shelf;
  shelf.empty = true;
  Bytes out = buffer_in(shelf);
  std::string const text(1 << 20, 't');
  encode(out, text);
  EXPECT_EQ(shelf.asked, 1);
  EXPECT_EQ(decode<std::string>(out), text);
}

TEST(MessageMemory, StaysTheHintOfItsBuffer) {
  Shelf shelf;
  Bytes out = buffer_in(shelf);
  encode(out, std::string(1 << 20, 'a'));
  auto const* const place = out.data();
  Bytes const moved = std::exchange(out, {});
  EXPECT_EQ(moved.data(), place);
  encode(out, std::string(1 << 20, 'b'));
  EXPECT_EQ(shelf.asked, 2);
  Bytes copy = out;
  EXPECT_EQ(message_block_of(copy), nullptr) << "a copy may outlive the memory";
  EXPECT_EQ(copy, out);
}

// It has the buffer and not the memory; its end must neither crash nor wait.
TEST(MessageMemory, OfAForkedChildIsForgotten) {
  Shelf shelf;
  auto out = std::make_unique<Bytes>(buffer_in(shelf));
  encode(*out, std::string(1 << 20, 'a'));
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool const right = message_block_of(*out) == nullptr;
    out.reset();
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(message_block_of(*out), shelf.last);
}

}  // namespace
}  // namespace procpool::detail
