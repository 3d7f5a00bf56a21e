// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Each message comes out as it went in. Bytes that were cut, or changed, are refused or are another
// message, and no decoder reads behind them.

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "cluster/messages.hpp"

namespace procpool::cluster {
namespace {

detail::Bytes some_bytes(std::size_t size) { return detail::Bytes(size, std::byte{7}); }

std::vector<Message> examples(detail::Bytes const& bytes) {
  Hello hello;
  hello.modules = {{"/bin/app", 1, some_bytes(20)}, {"/lib/libc.so.6", 2, some_bytes(4)}};
  hello.options = bytes;
  hello.workers = 4;
  hello.beat = std::chrono::milliseconds(500);
  hello.host = "node1";
  Declare declare;
  declare.task = 5;
  declare.registration = bytes;
  declare.values = {1, 2, 3};
  declare.label = "parse";
  declare.priority = -3;
  declare.key = 17;
  declare.timeout = std::chrono::milliseconds(20);
  declare.deadline = std::chrono::nanoseconds(-5);
  ChunkMessage chunk{3, true, 5, 100, 4, {9}, bytes};
  OutcomeMessage outcome;
  outcome.task = 5;
  outcome.first = 100;
  outcome.count = 4;
  outcome.kind = OutcomeMessage::Kind::failed;
  outcome.begun = true;
  outcome.worker = 2;
  outcome.output = {{101, "a line\n"}};
  outcome.payload = bytes;
  EventMessage event;
  event.signal = 11;
  event.text = "worker 3 was killed";
  StatsMessage stats;
  stats.workers = 2;
  stats.places = {{123, 1, 40, std::chrono::nanoseconds(5), "exited", true, 5, 100, 1, 10}, {}};
  return {hello,
          declare,
          Forget{5},
          Value{8, 0, bytes},
          DropValues{{8, 9}},
          chunk,
          Grant{{1, 2}},
          Withdraw{{{3, 0}, {4, 2}}},
          Cut{5, 7, true},
          StartWorkers{6, 2},
          EndPool{End::cancel},
          Welcome{4},
          Refusal{"another build"},
          Block{{outcome, OutcomeMessage()}},
          Line{"text"},
          event,
          stats,
          Ended{1},
          Beat{}};
}

TEST(ClusterMessages, EachComesOutAsItWentIn) {
  detail::Bytes const bytes = some_bytes(33);
  auto const messages = examples(bytes);
  ASSERT_EQ(messages.size(), std::variant_size_v<Message>);
  for (Message const& message : messages) {
    detail::Bytes const encoded = encode(message);
    auto const decoded = decode(encoded);
    ASSERT_TRUE(decoded) << message.index();
    EXPECT_EQ(decoded->index(), message.index());
    EXPECT_EQ(encode(*decoded), encoded) << message.index();
  }
  detail::Bytes const encoded = encode(messages[5]);
  auto const chunk = std::get<ChunkMessage>(*decode(encoded));
  EXPECT_EQ(chunk.first, 100u);
  EXPECT_EQ(detail::Bytes(chunk.bytes.begin(), chunk.bytes.end()), bytes);
}

TEST(ClusterMessages, APartOfOneIsNone) {
  detail::Bytes const bytes = some_bytes(9);
  for (Message const& message : examples(bytes)) {
    detail::Bytes const encoded = encode(message);
    for (std::size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(decode(std::span(encoded).first(size))) << message.index() << ", " << size;
    }
    detail::Bytes longer = encoded;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode(longer)) << message.index();
  }
  EXPECT_FALSE(decode(some_bytes(1)));
  detail::Bytes unknown{static_cast<std::byte>(std::variant_size_v<Message>)};
  EXPECT_FALSE(decode(unknown));
}

TEST(ClusterMessages, EnumerationsHaveTheirOwnValuesOnly) {
  detail::Bytes encoded = encode(EndPool{End::kill});
  encoded[1] = std::byte{3};
  EXPECT_FALSE(decode(encoded));
}

TEST(ClusterMessages, ElementsFillTheBytesOfTheirChunk) {
  using Ends = std::vector<std::uint64_t>;
  EXPECT_EQ(ends_of(some_bytes(12), 3, 4), Ends());
  EXPECT_FALSE(ends_of(some_bytes(12), 4, 4));
  EXPECT_FALSE(ends_of(some_bytes(12), 0, 4));
  detail::Bytes two(8 + 3 + 8 + 1, std::byte{0});
  two[0] = std::byte{3};
  two[11] = std::byte{1};
  EXPECT_EQ(ends_of(two, 2, 0), (Ends{11, 20}));
  EXPECT_FALSE(ends_of(two, 1, 0));
  EXPECT_FALSE(ends_of(two, 3, 0));
  two[0] = std::byte{200};
  EXPECT_FALSE(ends_of(two, 2, 0));
}

}  // namespace
}  // namespace procpool::cluster
