// Chunks and the batches they point into: what is cut off is what it says, in memory or in a file.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "engine/local/chunk.hpp"

namespace procpool::local {
namespace {

detail::Bytes bytes_of(std::string_view text) {
  auto const* const data = reinterpret_cast<std::byte const*>(text.data());
  return {data, data + text.size()};
}

std::string text_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

TEST(Batch, ElementsOfFixedSize) {
  Batch const batch({10, 3, bytes_of("aabbcc"), {}}, 2);
  EXPECT_EQ(text_of(batch.bytes(10, 3)), "aabbcc");
  EXPECT_EQ(text_of(batch.bytes(11, 1)), "bb");
  EXPECT_EQ(text_of(batch.bytes(12, 0)), "");
}

TEST(Batch, ElementsOfVaryingSize) {
  Batch const batch({10, 4, bytes_of("abbccc"), {1, 3, 3, 6}}, 0);
  EXPECT_EQ(text_of(batch.bytes(10, 1)), "a");
  EXPECT_EQ(text_of(batch.bytes(11, 1)), "bb");
  EXPECT_EQ(text_of(batch.bytes(12, 1)), "");
  EXPECT_EQ(text_of(batch.bytes(11, 3)), "bbccc");
}

TEST(Batch, ASingleElementNeedsNoEnds) {
  Batch batch({10, 1, bytes_of("abc"), {}}, 0);
  EXPECT_EQ(text_of(batch.bytes(10, 1)), "abc");
  EXPECT_EQ(batch.elements_within(10, 2), 1u);
  batch.sealed_whole();
  EXPECT_EQ(text_of(batch.bytes(10, 1)), "abc");
}

TEST(Batch, SaysHowManyElementsLieWithinSomeBytes) {
  Batch const fixed({10, 3, bytes_of("aabbcc"), {}}, 2);
  EXPECT_EQ(fixed.elements_within(10, 5), 2u);
  EXPECT_EQ(fixed.elements_within(10, 1), 1u) << "one in any case";
  Batch const varying({10, 4, bytes_of("abbccc"), {1, 3, 3, 6}}, 0);
  EXPECT_EQ(varying.elements_within(10, 0), 1u);
  EXPECT_EQ(varying.elements_within(10, 2), 1u);
  EXPECT_EQ(varying.elements_within(10, 3), 3u);
  EXPECT_EQ(varying.elements_within(10, 5), 3u);
  EXPECT_EQ(varying.elements_within(10, 6), 4u);
  EXPECT_EQ(varying.elements_within(11, 2), 2u);
  EXPECT_EQ(varying.elements_within(13, 1), 1u);
}

TEST(Batch, MovedToAFileItServesTheSame) {
  Batch batch({10, 3, bytes_of("aabbcc"), {}}, 2);
  os::Memfd const& memory = batch.sealed_whole();
  EXPECT_NE(memory.seals() & F_SEAL_WRITE, 0);
  EXPECT_EQ(memory.size(), 6u);
  EXPECT_EQ(text_of(batch.bytes(10, 3)), "aabbcc");
  EXPECT_EQ(text_of(batch.bytes(11, 2)), "bbcc");
  EXPECT_EQ(&batch.sealed_whole(), &memory);
}

TEST(Chunk, CutsAtBothEnds) {
  auto const batch = std::make_shared<Batch>(detail::Segment{0, 6, bytes_of("abcdef"), {}}, 1);
  Chunk chunk{nullptr, batch, 0, 6};
  EXPECT_TRUE(chunk.whole_batch());
  EXPECT_EQ(text_of(chunk.take_front(2).bytes()), "ab");
  EXPECT_EQ(text_of(chunk.take_back(3).bytes()), "f");
  EXPECT_EQ(text_of(chunk.bytes()), "cde");
  EXPECT_EQ(chunk.first, 2u);
  EXPECT_FALSE(chunk.whole_batch());
}

TEST(Chunk, CutsAtAnIndexOfTheTask) {
  auto const batch = std::make_shared<Batch>(detail::Segment{10, 4, bytes_of("abcd"), {}}, 1);
  auto const cut = [&batch](std::uint64_t index) {
    Chunk chunk{nullptr, batch, 10, 4};
    return chunk.take_from(index);
  };
  EXPECT_EQ(cut(14).count, 0u);
  EXPECT_EQ(cut(~std::uint64_t{0}).count, 0u);
  EXPECT_EQ(cut(13).first, 13u);
  EXPECT_EQ(cut(13).count, 1u);
  EXPECT_EQ(cut(10).count, 4u);
  EXPECT_EQ(cut(0).first, 10u);
  EXPECT_EQ(cut(0).count, 4u);
}

}  // namespace
}  // namespace procpool::local
