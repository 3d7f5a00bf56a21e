// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The waits of a worker: for room in the outbox, until the parent takes large results, for a revocation. A
// worker that should wait and does not is seen by its actions, so that no test hangs.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support.hpp"
#include "support/until.hpp"

namespace procpool::channel {
namespace {

class ChannelWaitsTest : public ChannelTest {
 protected:
  // A worker's thread. Declare it after the objects that it uses, so that it ends before them.
  template <class Does>
  [[nodiscard]] std::jthread start(Does does) {
    ended_ = false;
    return std::jthread([this, does] {
      does();
      ended_ = true;
    });
  }

  // Waits until the worker has parked another time, or has ended. False: it has ended.
  bool parks_again() {
    for (std::uint32_t parked = 0;;) {
      if (ended_) return false;
      if ((parked = words().parked.load()) != 0 && parked != seen_) {
        seen_ = parked;
        return true;
      }
    }
  }

  // Takes all frames, and returns their payloads.
  std::vector<std::string> collect() {
    std::vector<std::string> payloads;
    while (auto const arrival = parent_.next()) payloads.push_back(text_of(arrival->payload));
    parent_.taken();
    return payloads;
  }

  std::atomic<bool> ended_{true};
  std::uint32_t seen_ = 0;
};

// Each is a frame of its own, and ten of them are more than the ring.
TEST_F(ChannelWaitsTest, AFrameOfItsOwnIsWrittenOnlyIfThereIsRoom) {
  constexpr std::uint64_t errors = 10;
  auto const error = [](std::uint64_t i) {
    return std::string(inline_limit(ring_bytes) - 100, static_cast<char>('a' + i));
  };
  put(errors);
  std::jthread worker = start([&] {
    ASSERT_TRUE(worker_->wait());
    for (std::uint64_t i = 0; i < errors; ++i) {
      ASSERT_TRUE(worker_->begin(i));
      worker_->append_thrown(i, bytes_of(error(i)));
    }
    worker_->finish_frame();
  });
  EXPECT_TRUE(parks_again());
  EXPECT_LE(words().tail.load(), ring_bytes) << "it has written over what nobody has taken";
  std::uint64_t seen = 0;
  while (seen < errors) {
    for (auto const& payload : collect()) EXPECT_EQ(payload, error(seen++));
  }
  EXPECT_EQ(seen, errors);
}

TEST_F(ChannelWaitsTest, AWakeUpThatBringsNoRoomIsNone) {
  std::string const result(inline_limit(ring_bytes) - 100, 'r');
  put(10);
  std::jthread worker = start([&] {
    run(result);
    EXPECT_TRUE(worker_->wait());  // the frame that woke it
    worker_->finish_frame();
  });
  ASSERT_TRUE(parks_again());
  std::uint64_t const tail = words().tail.load();
  put(1);
  EXPECT_TRUE(parks_again());
  EXPECT_EQ(words().tail.load(), tail);
  std::uint64_t elements = 0;
  while (elements < 10) {
    for (auto const& payload : collect()) {
      EXPECT_EQ(payload, result);
      ++elements;
    }
  }
}

// A worker that fills memory faster than the parent empties it has to wait, though the ring has room.
TEST_F(ChannelWaitsTest, FourLargeResultsWaitAndNoMore) {
  constexpr std::uint64_t results = 7;
  std::string const large(inline_limit(ring_bytes) + 1, 'l');
  std::atomic<std::uint64_t> given{0};
  put(results);
  std::jthread worker = start([&] {
    ASSERT_TRUE(worker_->wait());
    for (std::uint64_t i = 0; i < results; ++i) {
      ASSERT_TRUE(worker_->begin(i));
      worker_->append_value(i, bytes_of(large), false);
      ++given;
    }
    worker_->finish_frame();
  });
  EXPECT_TRUE(parks_again());
  EXPECT_EQ(given, 4u);
  ASSERT_TRUE(parent_.next());
  parent_.taken();
  EXPECT_TRUE(parks_again());
  EXPECT_EQ(given, 5u);
  for (std::uint64_t taken = 1; taken < results;) taken += collect().size();
}

// They fill no ring, so they did not end the short poll of the parent.
TEST_F(ChannelWaitsTest, AWaitUntilLargeResultsAreTakenEndsAShortPoll) {
  std::string const large(inline_limit(ring_bytes) + 1, 'l');
  put(5);
  EXPECT_FALSE(parent_.begin_short_poll(7));
  std::jthread worker = start([&] { run(large); });
  EXPECT_TRUE(parks_again());
  EXPECT_TRUE(support::until([&] { return event_.drain() == 1; }));
  for (std::size_t taken = 0; taken < 5;) taken += collect().size();
}

TEST_F(ChannelWaitsTest, ASleepEndsAShortPollOnce) {
  std::string const quarter(inline_limit(ring_bytes), 'x');
  for (int i = 0; i < 3; ++i) put(1);
  EXPECT_FALSE(parent_.begin_short_poll(7));
  run(quarter);
  run(quarter);  // half of the ring is full
  run("r");
  std::jthread worker = start([&] { EXPECT_FALSE(worker_->wait()); });
  EXPECT_TRUE(parks_again());
  parent_.ask_to_leave();
  worker.join();
  EXPECT_EQ(event_.drain(), 1u);
}

TEST_F(ChannelWaitsTest, ARetiringWorkerBeginsNothingAndWaitsForTheRevocation) {
  put(2);
  ASSERT_TRUE(worker_->wait());
  ASSERT_TRUE(worker_->begin(0));
  worker_->retire();
  worker_->append_value(0, bytes_of("r"), false);
  bool began = true;
  std::jthread worker = start([&] { began = worker_->begin(1); });
  EXPECT_TRUE(parks_again());
  EXPECT_EQ(words().claim.load(), 1u);
  ASSERT_TRUE(parent_.next()) << "what it has done is shown before it waits";
  EXPECT_TRUE(parent_.retiring());
  EXPECT_EQ(parent_.revoke(1), 1u);
  worker.join();
  EXPECT_FALSE(began);
  worker_->finish_frame();
  EXPECT_TRUE(parent_.acknowledged());
}

// A task may close all descriptors.
TEST_F(ChannelWaitsTest, AWorkerThatCannotNotifyLeaves) {
  ParentEnd parent(ring_bytes);
  auto [ours, theirs] = os::socket_pair();
  os::UniqueFd doorbell = event_.duplicate();
  int const number = doorbell.get();
  OneByOne worker(parent.inbox(), parent.outbox(), ring_bytes, os::Event(std::move(doorbell)),
                  std::move(theirs));
  os::RingMapping const outbox(parent.outbox(), outbox_control_bytes, ring_bytes,
                               os::Access::read_only);
  auto const& said = *reinterpret_cast<OutboxWords const*>(outbox.control());
  parent.put_chunk({0, 1, 0, 1}, {});
  parent.publish();
  parent.park(7);
  ASSERT_TRUE(worker.wait());
  ASSERT_TRUE(worker.begin(0));
  worker.append_value(0, {}, false);
  // Still a descriptor, which its owner closes, and no event any more.
  os::UniqueFd const deaf(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::dup2(deaf.get(), number), number);
  worker.finish_frame();
  EXPECT_TRUE(worker.descriptors_gone());
  std::jthread thread = start([&] { EXPECT_FALSE(worker.wait()); });
  while (!ended_ && said.parked.load() == 0) {
  }
  EXPECT_TRUE(ended_) << "it sleeps, and has not said that it is there";
  parent.ask_to_leave();
}

}  // namespace
}  // namespace procpool::channel
