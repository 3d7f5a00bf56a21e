// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The order of two stores whose race is too short to wait for: the tests look at each sync point at the
// words that the other side would find.

#include "support/observed.hpp"  // first

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "channel/parent_end.hpp"
#include "os/event.hpp"
#include "os/socket.hpp"
#include "support/one_by_one.hpp"

namespace procpool::channel {
namespace {

using sync_points::SyncPoint;

constexpr std::size_t ring_bytes = 64 * 1024;

class ChannelOrderTest : public testing::Test {
 protected:
  ~ChannelOrderTest() override { sync_points::observer = nullptr; }
  InboxWords const& in() const { return *reinterpret_cast<InboxWords const*>(inbox_.control()); }

  ParentEnd parent_{ring_bytes};
  os::RingMapping inbox_{parent_.inbox(), control_bytes, ring_bytes, os::Access::read_only};
};

// The other side loads the doorbell and then the word. If the doorbell has not moved since, it may sleep,
// and nothing would wake it.
TEST_F(ChannelOrderTest, ARequestToStopIsThereBeforeTheDoorbellMoves) {
  std::vector<std::pair<std::uint32_t, std::uint64_t>> seen;  // doorbell and word
  sync_points::observer = [&](SyncPoint) {
    seen.emplace_back(in().stop_doorbell.load(), in().asked.load());
  };
  for (std::uint64_t serial = 5; serial < 8; ++serial) {
    seen.clear();
    std::uint32_t const doorbell = in().stop_doorbell.load();
    parent_.ask_to_stop(serial);
    ASSERT_FALSE(seen.empty());
    for (auto const& [moved, word] : seen) {
      EXPECT_EQ(word, serial + 1) << "not there, though the doorbell is at " << moved;
    }
    EXPECT_NE(seen.back().first, doorbell) << "it has not moved at all";
  }
}

// The parent gives room, and looks whether the worker sleeps, just before it parks: nothing would wake it.
TEST_F(ChannelOrderTest, AWorkerThatParksForRoomLooksOnceMore) {
  auto [ours, theirs] = os::socket_pair();
  os::Event const event;
  OneByOne worker(parent_.inbox(), parent_.outbox(), ring_bytes, os::Event(event.duplicate()),
                  std::move(theirs));
  os::RingMapping const outbox(parent_.outbox(), outbox_control_bytes, ring_bytes,
                               os::Access::read_write);
  auto& said = *reinterpret_cast<OutboxWords*>(outbox.control());
  constexpr std::uint64_t errors = 12;
  parent_.put_chunk({0, 1, 0, errors}, {});
  parent_.publish();
  unsigned parked = 0;
  bool slept = false;
  sync_points::observer = [&](SyncPoint step) {
    if (step == SyncPoint::parked_for_room) {
      ++parked;
      std::uint32_t const sleep = said.parked.exchange(0);  // as it was when the parent looked
      while (parent_.next()) {
      }
      parent_.taken();
      said.parked = sleep;
    }
    if (step == SyncPoint::falling_asleep) {
      slept = true;
      parent_.ask_to_leave();  // wakes it, so that this ends
    }
  };
  ASSERT_TRUE(worker.wait());
  std::vector<std::byte> const error(inline_limit(ring_bytes) - 100);
  for (std::uint64_t i = 0; i < errors; ++i) {
    ASSERT_TRUE(worker.begin(i));
    worker.append_thrown(i, error);
  }
  EXPECT_GT(parked, 1u);
  EXPECT_FALSE(slept);
}

}  // namespace
}  // namespace procpool::channel
