// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What one end of a conversation posts, the other one gets whole, once and in order, whatever the
// network does to it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "cluster/conversation.hpp"

namespace procpool::cluster {
namespace {

using Lane = Conversation::Lane;

constexpr std::uint64_t session = 42;
constexpr std::size_t small_piece = 8;

detail::Bytes bytes_of(std::size_t size, int value) {
  return detail::Bytes(size, static_cast<std::byte>(value));
}

std::vector<detail::Bytes> all_packets(Conversation& from) {
  std::vector<detail::Bytes> packets;
  while (auto packet = from.next()) packets.push_back(std::move(*packet));
  return packets;
}

// False: the other end does not believe one of them.
bool pass(Conversation& to, std::vector<detail::Bytes> const& packets,
          std::vector<detail::Bytes>& messages) {
  return std::ranges::all_of(packets, [&](detail::Bytes const& packet) {
    auto const envelope = open_envelope(packet);
    return envelope && to.accept(*envelope, messages);
  });
}

TEST(Conversation, MessagesArriveInTheirOrder) {
  Conversation from(session);
  Conversation to(session);
  for (int i = 0; i < 5; ++i) from.post(bytes_of(3, i));
  std::vector<detail::Bytes> messages;
  ASSERT_TRUE(pass(to, all_packets(from), messages));
  ASSERT_EQ(messages.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(messages[static_cast<std::size_t>(i)], bytes_of(3, i));
}

TEST(Conversation, TwiceAndInDisorderTheyStillDo) {
  Conversation from(session, small_piece);
  Conversation to(session, small_piece);
  // One large message has four pieces, which is all that may be under way.
  auto const size_of = [](std::size_t i) { return i == 5 ? 4 * small_piece : 3; };
  for (std::size_t i = 0; i < 20; ++i) from.post(bytes_of(size_of(i), static_cast<int>(i)));
  std::vector<detail::Bytes> packets = all_packets(from);
  ASSERT_EQ(packets.size(), 23u);
  auto const again = packets;
  packets.insert(packets.end(), again.begin(), again.end());
  std::shuffle(packets.begin(), packets.end(), std::mt19937(7));
  std::vector<detail::Bytes> messages;
  ASSERT_TRUE(pass(to, packets, messages));
  ASSERT_EQ(messages.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(messages[i], bytes_of(size_of(i), static_cast<int>(i)));
  }
  EXPECT_EQ(to.dropped(), 23u);
}

TEST(Conversation, FewPiecesAreUnderWayAndUrgentMessagesPassThem) {
  Conversation from(session, small_piece);
  Conversation to(session, small_piece);
  from.post(bytes_of(100, 1));
  std::vector<detail::Bytes> messages;
  auto packets = all_packets(from);
  EXPECT_EQ(packets.size(), Conversation::max_pieces);
  from.post(bytes_of(2, 2));
  EXPECT_TRUE(all_packets(from).empty());
  from.post(bytes_of(1, 9), Lane::urgent);
  auto const urgent = all_packets(from);
  ASSERT_EQ(urgent.size(), 1u);
  ASSERT_TRUE(pass(to, packets, messages));
  ASSERT_TRUE(pass(to, urgent, messages));
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages.front(), bytes_of(1, 9));
  // Each answer makes room for as many pieces.
  while (from.has_more()) {
    std::vector<detail::Bytes> ignored;
    ASSERT_TRUE(pass(from, all_packets(to), ignored));
    packets = all_packets(from);
    ASSERT_FALSE(packets.empty());
    ASSERT_TRUE(pass(to, packets, messages));
  }
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[1], bytes_of(100, 1));
  EXPECT_EQ(messages[2], bytes_of(2, 2));
  EXPECT_EQ(from.waiting_bytes(), 0u);
}

TEST(Conversation, APeerThatWritesNonsenseIsNotBelieved) {
  Conversation from(session, small_piece);
  from.post(bytes_of(30, 1));
  auto packets = all_packets(from);
  std::vector<detail::Bytes> messages;
  // A piece that does not lie behind the one before.
  Conversation to(session, small_piece);
  ASSERT_TRUE(pass(to, {packets[0]}, messages));
  auto envelope = open_envelope(packets[2]);
  envelope->number = 2;
  EXPECT_FALSE(to.accept(*envelope, messages));
  // More pieces taken than were sent.
  Conversation taker(session, small_piece);
  ASSERT_TRUE(pass(taker, packets, messages));
  Conversation idle(session, small_piece);
  EXPECT_FALSE(pass(idle, all_packets(taker), messages));
  // No form at all.
  Envelope const empty{session, 1, {}};
  EXPECT_FALSE(Conversation(session).accept(empty, messages));
  EXPECT_FALSE(open_envelope(bytes_of(11, 0)));
  EXPECT_FALSE(open_envelope(bytes_of(100, 0)));
}

TEST(Conversation, NotEverythingThatComesEarlyIsKept) {
  Conversation to(session);
  std::vector<detail::Bytes> messages;
  detail::Bytes const form(1, std::byte{0});
  for (std::uint64_t number = 2; number < 2 + Conversation::max_early; ++number) {
    ASSERT_TRUE(to.accept({session, number, form}, messages));
  }
  EXPECT_FALSE(to.accept({session, 2 + Conversation::max_early, form}, messages));
  EXPECT_TRUE(messages.empty());
}

}  // namespace
}  // namespace procpool::cluster
