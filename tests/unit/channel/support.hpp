// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The two ends of a channel in one process: the worker's side is a real WorkerEnd with its own mapping of
// the memory.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "channel/parent_end.hpp"
#include "os/socket.hpp"
#include "support/one_by_one.hpp"

namespace procpool::channel {

inline constexpr std::size_t ring_bytes = 64 * 1024;

inline std::span<std::byte const> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() {
    auto [ours, theirs] = os::socket_pair();
    control_ = std::move(ours);
    worker_.emplace(parent_.inbox(), parent_.outbox(), ring_bytes, os::Event(event_.duplicate()),
                    std::move(theirs));
    inbox_.emplace(parent_.inbox(), control_bytes, ring_bytes, os::Access::read_only);
    outbox_.emplace(parent_.outbox(), outbox_control_bytes, ring_bytes, os::Access::read_write);
    parent_.forget_memory();
  }
  InboxWords const& parents_words() const {
    return *reinterpret_cast<InboxWords const*>(inbox_->control());
  }
  // The words that a hostile worker can write to.
  OutboxWords& words() { return *reinterpret_cast<OutboxWords*>(outbox_->control()); }

  std::uint64_t put(std::uint64_t count, std::string_view payload = "abc", bool apart = false) {
    std::uint64_t const serial =
        parent_.put_chunk({0, 1, 0, count, 0, false, apart}, {bytes_of(payload)});
    parent_.publish();
    return serial;
  }
  // Puts this many elements and revokes them before one has begun. Returns the next serial.
  std::uint64_t skip(std::uint64_t count) {
    if (count == 0) return 0;
    std::uint64_t const first = put(count);
    EXPECT_EQ(parent_.revoke(first), first);
    EXPECT_EQ(run("r"), 0u);
    EXPECT_TRUE(parent_.acknowledged());
    return first + count;
  }
  // Runs the next frame as a worker would, and answers each element with `value`. With `die_after` it
  // stops after this many elements, as if killed. Returns how many elements ran.
  std::uint64_t run(std::string_view value, std::optional<std::uint64_t> die_after = {}) {
    EXPECT_TRUE(worker_->wait());
    InboxHeader const header = worker_->header();
    for (std::uint64_t i = 0; i < header.count; ++i) {
      if (die_after == i) return i;
      if (!worker_->begin(header.serial + i)) {
        worker_->finish_frame();
        return i;
      }
      worker_->append_value(header.serial + i, bytes_of(value), false);
    }
    if (die_after) return header.count;
    worker_->finish_frame();
    return header.count;
  }

  // The race for elements, as close as it can be made: the worker runs through a chunk while the parent
  // revokes the rest, always a few elements after the last claim that it saw. `run_chunk` runs the
  // frame, and returns the number of elements that ran. All serials below `least(from, cut)` must have
  // ended.
  template <class RunChunk, class Least>
  void race_for_elements(RunChunk const& run_chunk, Least const& least) {
    constexpr std::uint64_t rounds = 20'000;
    constexpr std::uint64_t count = race_chunk;
    std::atomic<std::uint64_t> ran{0};  // in the round, set before its end
    std::thread worker([&] {
      while (worker_->wait()) {
        std::uint64_t const chunk = run_chunk(worker_->header());
        ran.store(chunk);
        worker_->finish_frame();
      }
    });
    for (std::uint64_t round = 0; round < rounds; ++round) {
      std::uint64_t const first = put(count);
      std::uint64_t const start = first + round % (count - 10);
      std::uint64_t claim = 0;
      while ((claim = words().claim.load()) <= start) {
      }
      std::uint64_t const from = std::min(claim + round % 4, first + count - 1);
      std::uint64_t const cut = parent_.revoke(from);
      while (!parent_.acknowledged()) {
      }
      std::uint64_t done = 0;
      while (auto const arrival = parent_.next()) done += arrival->header.count;
      parent_.taken();
      // No element at or above the cut ran.
      ASSERT_LE(first + done, cut) << "round " << round;
      ASSERT_GE(first + done, least(from, cut)) << "round " << round;
      ASSERT_EQ(done, ran.load());
    }
    parent_.ask_to_leave();
    worker.join();
  }
  static constexpr std::uint64_t race_chunk = 256;

  ParentEnd parent_{ring_bytes};
  os::Event event_;
  os::UniqueFd control_;
  std::optional<OneByOne> worker_;
  std::optional<os::RingMapping> inbox_;
  std::optional<os::RingMapping> outbox_;
};

// The same with a worker whose serials have a gap.
template <class Test>
class BehindAGap : public Test, public testing::WithParamInterface<std::uint64_t> {
 protected:
  void SetUp() override {
    // An earlier outcome, and its mark.
    this->put(1);
    this->run("of before");
    ASSERT_TRUE(this->parent_.next());
    this->parent_.taken();
    first_ = std::max(std::uint64_t{1}, this->skip(this->GetParam()));
  }
  std::uint64_t at(std::uint64_t element) const { return first_ + element; }

  std::uint64_t first_ = 0;  // the next serial
};

// 32 bits cannot tell the last one from a mark that is ahead.
inline auto each_gap() {
  return testing::Values(0, 1, 63, 64, 65, 1'000, std::uint64_t{1} << 31,
                         (std::uint64_t{1} << 32) - 3);
}

}  // namespace procpool::channel
