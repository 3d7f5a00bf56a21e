// Chunks and the batches they point into: what is cut off is what it says, in memory or in a file.

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
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
  Batch const batch({10, 1, bytes_of("abc"), {}}, 0);
  EXPECT_EQ(text_of(batch.bytes(10, 1)), "abc");
  EXPECT_EQ(batch.elements_within(10, 2), 1u);
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

TEST(Batch, MovedToAWorkersMemoryItServesTheSame) {
  auto const arena = std::make_shared<Arena>();
  auto const worker = std::make_shared<Holdings>();
  Batch batch({10, 3, bytes_of("aabbcc"), {}}, 2);
  auto const block = batch.in_memory_of(*arena, worker);
  EXPECT_EQ(text_of({block->data(), 6}), "aabbcc");
  EXPECT_EQ(text_of(batch.bytes(10, 3)), "aabbcc");
  EXPECT_EQ(text_of(batch.bytes(11, 2)), "bbcc");
  EXPECT_EQ(batch.bytes(10, 3).data(), block->data());
  EXPECT_EQ(batch.in_memory_of(*arena, worker), block);
}

TEST(Batch, EncodedInMessageMemoryItIsNotCopied) {
  auto const arena = std::make_shared<Arena>();
  auto const worker = std::make_shared<Holdings>();
  detail::Bytes bytes{detail::Bytes::allocator_type(arena.get()).for_message()};
  bytes.resize(detail::message_memory_from, std::byte{'x'});
  auto const* const place = bytes.data();
  Batch batch({0, 1, std::move(bytes), {detail::message_memory_from}}, 0);
  EXPECT_EQ(batch.in_memory_of(*arena, worker)->data(), place);
  EXPECT_EQ(arena->made(), 1u);
}

// Memory that has never held another message may go along with this one, and is not used again.
TEST(Batch, MovesOnToAnotherWorker) {
  auto const arena = std::make_shared<Arena>();
  auto first = std::make_shared<Holdings>();
  auto const second = std::make_shared<Holdings>();
  auto const third = std::make_shared<Holdings>();
  std::optional<Batch> batch(std::in_place, detail::Segment{0, 1, bytes_of("abc"), {3}}, 0);
  auto const id = batch->in_memory_of(*arena, first)->id();
  EXPECT_EQ(batch->in_memory_of(*arena, second)->id(), id);
  second->sent(id);
  EXPECT_NE(batch->in_memory_of(*arena, third)->id(), id);
  EXPECT_EQ(second->take_news(9).ids, std::vector{id}) << "it is not kept";
  EXPECT_EQ(text_of(batch->bytes(0, 1)), "abc");
}

// What has held a message of one worker, another never gets: not even the same message, run again.
TEST(Batch, IsCopiedForAnotherWorkerIfItsMemoryWasUsedBefore) {
  auto const arena = std::make_shared<Arena>();
  auto first = std::make_shared<Holdings>();
  auto const second = std::make_shared<Holdings>();
  auto const id = arena->take_for(first, 3)->id();
  Batch batch({0, 1, bytes_of("abc"), {3}}, 0);
  ASSERT_EQ(batch.in_memory_of(*arena, first)->id(), id);
  first.reset();
  auto const block = batch.in_memory_of(*arena, second);
  EXPECT_NE(block->id(), id);
  EXPECT_EQ(text_of(batch.bytes(0, 1)), "abc");
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
