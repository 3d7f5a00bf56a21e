// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Chunks and the batches they point into: what is cut off is what it says, in memory or in a file.

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "parent/chunk.hpp"

namespace procpool::parent {
namespace {

detail::Bytes bytes_of(std::string_view text) {
  auto const* const data = reinterpret_cast<std::byte const*>(text.data());
  return {data, data + text.size()};
}

std::string text_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

TEST(SharedInput, ElementsOfFixedSize) {
  SharedInput const input({10, 3, bytes_of("aabbcc"), {}}, 2);
  EXPECT_EQ(text_of(input.bytes(10, 3)), "aabbcc");
  EXPECT_EQ(text_of(input.bytes(11, 1)), "bb");
  EXPECT_EQ(text_of(input.bytes(12, 0)), "");
}

TEST(SharedInput, ElementsOfVaryingSize) {
  SharedInput const input({10, 4, bytes_of("abbccc"), {1, 3, 3, 6}}, 0);
  EXPECT_EQ(text_of(input.bytes(10, 1)), "a");
  EXPECT_EQ(text_of(input.bytes(11, 1)), "bb");
  EXPECT_EQ(text_of(input.bytes(12, 1)), "");
  EXPECT_EQ(text_of(input.bytes(11, 3)), "bbccc");
}

TEST(SharedInput, ASingleElementNeedsNoEnds) {
  SharedInput const input({10, 1, bytes_of("abc"), {}}, 0);
  EXPECT_EQ(text_of(input.bytes(10, 1)), "abc");
  EXPECT_EQ(input.elements_within(10, 2), 1u);
}

TEST(SharedInput, SaysHowManyElementsLieWithinSomeBytes) {
  SharedInput const fixed({10, 3, bytes_of("aabbcc"), {}}, 2);
  EXPECT_EQ(fixed.elements_within(10, 5), 2u);
  EXPECT_EQ(fixed.elements_within(10, 1), 1u) << "one in any case";
  SharedInput const varying({10, 4, bytes_of("abbccc"), {1, 3, 3, 6}}, 0);
  EXPECT_EQ(varying.elements_within(10, 0), 1u);
  EXPECT_EQ(varying.elements_within(10, 2), 1u);
  EXPECT_EQ(varying.elements_within(10, 3), 3u);
  EXPECT_EQ(varying.elements_within(10, 5), 3u);
  EXPECT_EQ(varying.elements_within(10, 6), 4u);
  EXPECT_EQ(varying.elements_within(11, 2), 2u);
  EXPECT_EQ(varying.elements_within(13, 1), 1u);
}

TEST(SharedInput, MovedToAWorkersMemoryItServesTheSame) {
  auto const buffer_pool = std::make_shared<BufferPool>();
  auto const worker = std::make_shared<PeerBuffers>();
  SharedInput input({10, 3, bytes_of("aabbcc"), {}}, 2);
  auto const block = input.in_memory_of(*buffer_pool, worker);
  EXPECT_EQ(text_of({block->data(), 6}), "aabbcc");
  EXPECT_EQ(text_of(input.bytes(10, 3)), "aabbcc");
  EXPECT_EQ(text_of(input.bytes(11, 2)), "bbcc");
  EXPECT_EQ(input.bytes(10, 3).data(), block->data());
  EXPECT_EQ(input.in_memory_of(*buffer_pool, worker), block);
}

TEST(SharedInput, EncodedInMessageMemoryItIsNotCopied) {
  auto const buffer_pool = std::make_shared<BufferPool>();
  auto const worker = std::make_shared<PeerBuffers>();
  detail::Bytes bytes{detail::Bytes::allocator_type(buffer_pool.get()).for_message()};
  bytes.resize(detail::message_memory_from, std::byte{'x'});
  auto const* const place = bytes.data();
  SharedInput input({0, 1, std::move(bytes), {detail::message_memory_from}}, 0);
  EXPECT_EQ(input.in_memory_of(*buffer_pool, worker)->data(), place);
  EXPECT_EQ(buffer_pool->made(), 1u);
}

TEST(SharedInput, MovesOnToAnotherWorkerInTheSameMemory) {
  auto const buffer_pool = std::make_shared<BufferPool>();
  auto const first = std::make_shared<PeerBuffers>();
  auto const second = std::make_shared<PeerBuffers>();
  std::optional<SharedInput> input(std::in_place, detail::InputBuffer{0, 1, bytes_of("abc"), {3}},
                                   0);
  auto const id = input->in_memory_of(*buffer_pool, first)->id();
  EXPECT_EQ(input->in_memory_of(*buffer_pool, second)->id(), id);
  EXPECT_EQ(text_of(input->bytes(0, 1)), "abc");
}

TEST(SharedInput, IsCopiedForAnotherWorkerOfAHardenedPool) {
  auto const buffer_pool = std::make_shared<BufferPool>(true);
  auto first = std::make_shared<PeerBuffers>();
  auto const second = std::make_shared<PeerBuffers>();
  SharedInput input({0, 1, bytes_of("abc"), {3}}, 0);
  auto const id = input.in_memory_of(*buffer_pool, first)->id();
  EXPECT_NE(input.in_memory_of(*buffer_pool, second)->id(), id);
  EXPECT_EQ(text_of(input.bytes(0, 1)), "abc");
}

TEST(Chunk, CutsAtBothEnds) {
  auto const input =
      std::make_shared<SharedInput>(detail::InputBuffer{0, 6, bytes_of("abcdef"), {}}, 1);
  Chunk chunk{nullptr, input, 0, 6};
  EXPECT_TRUE(chunk.whole_input());
  EXPECT_EQ(text_of(chunk.take_front(2).bytes()), "ab");
  EXPECT_EQ(text_of(chunk.split_off(3).bytes()), "f");
  EXPECT_EQ(text_of(chunk.bytes()), "cde");
  EXPECT_EQ(chunk.first, 2u);
  EXPECT_FALSE(chunk.whole_input());
}

TEST(Chunk, CutsAtAnIndexOfTheTask) {
  auto const input =
      std::make_shared<SharedInput>(detail::InputBuffer{10, 4, bytes_of("abcd"), {}}, 1);
  auto const cut = [&input](std::uint64_t index) {
    Chunk chunk{nullptr, input, 10, 4};
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
}  // namespace procpool::parent
