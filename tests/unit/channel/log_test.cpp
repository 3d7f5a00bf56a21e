// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The log of a channel: lines come whole and in order round the ring, what finds no room is counted,
// the parent is notified when it has taken all, and a lie in it is refused.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace procpool::channel {
namespace {

TEST_F(ChannelTest, LinesComeWholeAndInOrderRoundTheRing) {
  EXPECT_FALSE(parent_.has_log());
  EXPECT_FALSE(parent_.next_log());
  int taken = 0;
  for (int i = 0; i < 3000; ++i) {
    worker_->log(static_cast<std::uint64_t>(i) + 1, 2,
                 std::string(static_cast<std::size_t>(i % 300), 'a') + std::to_string(i));
    EXPECT_TRUE(parent_.has_log());
    if (i % 7 != 0) continue;
    while (auto const line = parent_.next_log()) {
      EXPECT_EQ(line->claim, static_cast<std::uint64_t>(taken) + 1);
      EXPECT_EQ(line->level, 2u);
      EXPECT_EQ(line->lost, 0u);
      EXPECT_EQ(line->text,
                std::string(static_cast<std::size_t>(taken % 300), 'a') + std::to_string(taken));
      ++taken;
    }
    EXPECT_FALSE(parent_.has_log());
  }
  EXPECT_GE(taken, 2990);
}

TEST_F(ChannelTest, AnEmptyLineAndTheLongestOne) {
  worker_->log(1, 0, "");
  worker_->log(1, 0, std::string(2 * max_log_text, 'x'));
  EXPECT_EQ(parent_.next_log()->text, "");
  EXPECT_EQ(parent_.next_log()->text, std::string(max_log_text, 'x'));
}

TEST_F(ChannelTest, LinesWithoutRoomAreCounted) {
  std::string const text(1000, 'x');
  int fit = 0;
  while ((fit + 1) * log_footprint(text.size()) <= log_bytes) {
    worker_->log(1, 0, text);
    ++fit;
  }
  worker_->log(1, 0, text);
  worker_->log(1, 0, text);
  for (int i = 0; i < fit; ++i) EXPECT_EQ(parent_.next_log()->lost, 0u);
  EXPECT_FALSE(parent_.next_log());
  worker_->log(1, 0, "after");
  worker_->log(1, 0, "again");
  EXPECT_EQ(parent_.next_log()->lost, 2u);
  EXPECT_EQ(parent_.next_log()->lost, 0u);
}

TEST_F(ChannelTest, ALineWaitsForRoom) {
  std::string const text(4000, 'x');
  for (std::size_t i = 0; i < log_bytes / log_footprint(text.size()); ++i) {
    worker_->log(1, 0, text);
  }
  std::thread writer([&] { worker_->log(2, 0, "late"); });
  // Before its wait is over, or else it is counted.
  while (parent_.next_log()) {
  }
  writer.join();
  worker_->log(3, 0, "last");
  auto first = parent_.next_log();
  ASSERT_TRUE(first);
  if (first->text == "late") first = parent_.next_log();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text, "last");
}

TEST_F(ChannelTest, TheFirstLineAfterAllWereTakenNotifies) {
  static_cast<void>(event_.drain());
  worker_->log(1, 0, "first");
  EXPECT_EQ(event_.drain(), 1u);
  static_cast<void>(event_.drain());
  worker_->log(1, 0, "second");
  EXPECT_EQ(event_.drain(), 0u) << "the parent has still to take the first";
  while (parent_.next_log()) {
  }
  worker_->log(1, 0, "third");
  EXPECT_EQ(event_.drain(), 1u);
}

TEST_F(ChannelTest, LiesInTheLogAreRefused) {
  auto const put = [this](LogHeader const& header) {
    std::memcpy(outbox_->control() + control_bytes, &header, sizeof header);
  };
  for (std::uint64_t const tail : {std::uint64_t{1}, std::uint64_t{sizeof(LogHeader) - 1},
                                   std::uint64_t{log_bytes + 8}, ~std::uint64_t{0}}) {
    words().log_tail.store(tail);
    EXPECT_THROW(parent_.next_log(), BadFrame) << tail;
  }
  words().log_tail.store(log_bytes);
  put({1, 0, max_log_text + 1, 0});
  EXPECT_THROW(parent_.next_log(), BadFrame);
  put({1, 0, ~0u, 0});
  EXPECT_THROW(parent_.next_log(), BadFrame);
  words().log_tail.store(log_footprint(8));
  put({1, 0, 9, 0});
  EXPECT_THROW(parent_.next_log(), BadFrame) << "longer than what was put";
  put({1, 0, 8, 0});
  EXPECT_EQ(parent_.next_log()->text.size(), 8u);
}

TEST_F(ChannelTest, ProgressIsThatOfTheElementThatToldIt) {
  EXPECT_FALSE(parent_.told_progress());
  worker_->tell_progress(5, 2, 10);
  auto told = parent_.told_progress();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->serial, 5u);
  EXPECT_EQ(told->done, 2u);
  EXPECT_EQ(told->total, 10u);
  worker_->tell_progress(6, 0, 0);
  told = parent_.told_progress();
  EXPECT_EQ(told->serial, 6u);
  EXPECT_EQ(told->done, 0u);
  // The words of the next element are being written.
  words().progress_of.store(0);
  EXPECT_FALSE(parent_.told_progress());
}

// Two threads: numbers that were read together belong together.
TEST_F(ChannelTest, ProgressIsNeverThatOfAnotherElement) {
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (std::uint64_t serial = 0; !over; ++serial)
      worker_->tell_progress(serial, serial, 3 * serial);
  });
  int seen = 0;
  auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (seen < 10'000 && std::chrono::steady_clock::now() < end) {
    auto const told = parent_.told_progress();
    if (!told) continue;
    ++seen;
    EXPECT_EQ(told->done, told->serial);
    EXPECT_EQ(told->total, 3 * told->serial);
  }
  over = true;
  writer.join();
  EXPECT_EQ(seen, 10'000);
}

}  // namespace
}  // namespace procpool::channel
