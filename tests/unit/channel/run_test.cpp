// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Runs of elements whose results lie in the open frame of the channel. Each element is begun and done by
// itself, also if several are claimed at once.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include <procpool/detail/engine/run.hpp>

#include "support.hpp"

namespace procpool::channel {
namespace {

using Elements = detail::Run;

class ChannelRunTest : public ChannelTest {
 protected:
  using Result = std::uint64_t;
  static constexpr std::uint64_t unlimited = ~std::uint64_t{0};

  detail::RunWords words_of_task() {
    return {nullptr, nullptr, nullptr, &running_, &index_, &abandoned_};
  }

  // A run of the frame from this serial on. `block`: the number of elements that it claims at once.
  Elements begin_run(std::uint64_t serial, std::optional<std::uint64_t> block = {},
                     std::size_t result_size = sizeof(Result)) {
    Elements run = worker_->start_run(serial, unlimited, words_of_task());
    worker_->reserve(run, result_size);
    if (block) {
      run.elements().claimed_at_once = *block;
      run.elements().end = worker_->header().serial + worker_->header().count;
    }
    return run;
  }

  static void answer(Elements& run, Result result) {
    std::memcpy(run.result(), &result, sizeof result);
    run.done();
  }

  // Begins and answers this many elements, each by its serial. Returns how many it could.
  static std::uint64_t go(Elements& run, std::uint64_t elements) {
    std::uint64_t ran = 0;
    while (ran < elements && run.begin()) {
      answer(run, run.next());
      ++ran;
    }
    return ran;
  }

  static Result result_at(std::span<std::byte const> payload, std::size_t i) {
    Result result = 0;
    std::memcpy(&result, payload.data() + i * sizeof result, sizeof result);
    return result;
  }

  std::atomic<std::uint64_t> running_{0};
  std::atomic<std::uint64_t> index_{0};
  std::atomic<bool> abandoned_{false};
};

TEST_F(ChannelRunTest, WritesResultsWhereTheyAreSentFrom) {
  put(1000);
  ASSERT_TRUE(worker_->wait());
  std::uint64_t next = 0;
  while (next < 1000) {
    Elements run = begin_run(next);
    EXPECT_GT(go(run, 1000), 0u);
    next = run.next();
    EXPECT_TRUE(worker_->end_run(run));
  }
  worker_->finish_frame();
  std::uint64_t seen = 0;
  while (auto const arrival = parent_.next()) {
    EXPECT_EQ(arrival->header.serial, seen);
    ASSERT_EQ(arrival->payload.size(), arrival->header.count * sizeof(Result));
    for (std::uint64_t i = 0; i < arrival->header.count; ++i) {
      EXPECT_EQ(result_at(arrival->payload, i), seen + i);
    }
    seen += arrival->header.count;
  }
  EXPECT_EQ(seen, 1000u);
}

using RunBehindAGap = BehindAGap<ChannelRunTest>;

TEST_P(RunBehindAGap, SaysWhichElementRuns) {
  put(3);
  ASSERT_TRUE(worker_->wait());
  Elements run = begin_run(at(0), 64);
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(run.begin());
    EXPECT_EQ(running_.load(), at(i + 1));
    EXPECT_EQ(index_.load(), i);
    auto const running = parent_.running(first_);
    ASSERT_TRUE(running);
    EXPECT_EQ(running->serial, at(i));
    EXPECT_TRUE(running->sure);
    answer(run, i);
  }
  EXPECT_FALSE(run.begin());
  EXPECT_FALSE(parent_.running(first_));
}

TEST_F(ChannelRunTest, NeverOutgrowsTheFrame) {
  constexpr std::size_t large = 5000;  // three of them find room
  put(9);
  ASSERT_TRUE(worker_->wait());
  std::uint64_t next = 0;
  while (next < 9) {
    Elements run = begin_run(next, {}, large);
    while (run.begin()) {
      std::memset(run.result(), 'r', large);
      run.done();
    }
    next = run.next();
    EXPECT_TRUE(worker_->end_run(run));
    while (auto const arrival = parent_.next()) {
      EXPECT_LE(arrival->payload.size(), inline_limit(ring_bytes));
    }
    parent_.taken();
  }
  EXPECT_TRUE(worker_->fits(inline_limit(ring_bytes)));
  EXPECT_FALSE(worker_->fits(inline_limit(ring_bytes) + 1));
}

// Quick elements make runs of up to a thousand, unless the frame is full before that.
TEST_F(ChannelRunTest, NeverOutgrowsTheFrameHoweverQuickItIs) {
  constexpr std::size_t size = 1000;  // sixteen of them find room
  constexpr std::uint64_t count = 20'000;
  put(count);
  ASSERT_TRUE(worker_->wait());
  for (std::uint64_t next = 0; next < count;) {
    Elements run = begin_run(next, {}, size);
    ASSERT_LE((run.elements().end - run.next()) * size, inline_limit(ring_bytes));
    while (run.begin()) run.done();
    next = run.next();
    EXPECT_TRUE(worker_->end_run(run));
    while (auto const arrival = parent_.next()) {
      ASSERT_LE(arrival->payload.size(), inline_limit(ring_bytes));
    }
    parent_.taken();
  }
}

TEST_F(ChannelRunTest, ElementsThatTakeTheirTimeAreClaimedOneByOne) {
  put(200);
  ASSERT_TRUE(worker_->wait());
  for (std::uint64_t next = 0; next < 20;) {
    Elements run = begin_run(next);
    while (run.begin()) {
      EXPECT_EQ(words().claim.load(), run.next() + 1);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      answer(run, 0);
    }
    next = run.next();
    EXPECT_TRUE(worker_->end_run(run));
  }
}

TEST_F(ChannelRunTest, AClaimNeverReachesBeyondTheChunk) {
  put(100);
  put(100);
  ASSERT_TRUE(worker_->wait());
  Elements run = begin_run(0, 64);
  EXPECT_EQ(go(run, 65), 65u);
  EXPECT_EQ(words().claim.load(), 100u);
}

TEST_F(ChannelRunTest, ElementsWithADeadlineAreClaimedOneByOne) {
  put(10'000, "", true);
  ASSERT_TRUE(worker_->wait());
  for (std::uint64_t next = 0; next < 10'000;) {
    Elements run = begin_run(next);
    while (run.begin()) {
      ASSERT_EQ(words().claim.load(), run.next() + 1);
      answer(run, 0);
    }
    next = run.next();
    EXPECT_TRUE(worker_->end_run(run));
    while (parent_.next()) {
    }
    parent_.taken();
  }
}

TEST_F(ChannelRunTest, TheWorkerWithdrawsTheRestOfABatchedClaim) {
  put(100);
  ASSERT_TRUE(worker_->wait());
  Elements run = begin_run(0, 64);
  ASSERT_EQ(go(run, 10), 10u);
  ASSERT_TRUE(run.begin());  // number 10
  EXPECT_EQ(parent_.revoke(0), 64u) << "what lies in the block is undecided";
  EXPECT_FALSE(parent_.acknowledged());
  answer(run, 10);
  EXPECT_FALSE(run.begin());
  EXPECT_TRUE(run.revoked());
  EXPECT_FALSE(worker_->end_run(run));
  EXPECT_EQ(words().claim.load(), 11u);
  worker_->finish_frame();
  EXPECT_TRUE(parent_.acknowledged());
  EXPECT_EQ(parent_.next()->header.count, 11u);
  EXPECT_FALSE(parent_.next());
}

TEST_P(RunBehindAGap, ADeathInABatchedClaimBlamesTheElementThatRan) {
  put(100);
  ASSERT_TRUE(worker_->wait());
  Elements run = begin_run(at(0), 64);
  for (std::uint64_t position = 0; position < 64; ++position) {
    ASSERT_TRUE(run.begin());
    auto const remains = parent_.remains(first_, 100);  // ... and then it dies
    EXPECT_TRUE(remains.believable);
    EXPECT_EQ(remains.done, position);
    EXPECT_TRUE(remains.begun);
    ASSERT_EQ(remains.payload.size(), position * sizeof(Result));
    for (std::uint64_t i = 0; i < position; ++i) EXPECT_EQ(result_at(remains.payload, i), i);
    answer(run, position);
  }
  EXPECT_FALSE(parent_.remains(first_, 100).begun);
}

INSTANTIATE_TEST_SUITE_P(ChannelRun, RunBehindAGap, each_gap());

TEST_F(ChannelRunTest, AClaimOfTooManyElementsIsNotBelieved) {
  put(100);
  words().claim.store(max_claimed);
  EXPECT_TRUE(parent_.remains(0, 100).believable);
  words().claim.store(max_claimed + 1);
  EXPECT_FALSE(parent_.remains(0, 100).believable);
}

TEST_F(ChannelRunTest, AnElementThatThrowsLeavesTheRunWhereItWas) {
  put(100);
  ASSERT_TRUE(worker_->wait());
  Elements run = begin_run(0, 64);
  ASSERT_EQ(go(run, 5), 5u);
  ASSERT_TRUE(run.begin());  // and throws
  worker_->WorkerEnd::append_thrown(run, bytes_of("error"));
  EXPECT_EQ(run.next(), 6u);
  EXPECT_FALSE(run.begin());
  EXPECT_TRUE(worker_->end_run(run));
  EXPECT_EQ(parent_.next()->header.count, 5u);
  auto const thrown = parent_.next();
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->header.kind, OutboxKind::thrown);
  EXPECT_EQ(thrown->header.serial, 5u);
  Elements rest = begin_run(6, 64);
  EXPECT_EQ(go(rest, 100), 94u);
  EXPECT_TRUE(worker_->end_run(rest));
  worker_->finish_frame();
  EXPECT_EQ(parent_.next()->header.serial, 6u);
}

TEST_F(ChannelRunTest, BothSidesNeverHaveAnElement) {
  race_for_elements(
      [&](InboxHeader const& header) {
        Elements run = begin_run(header.serial, 1 + header.serial / race_chunk % max_claimed);
        std::uint64_t const ran = go(run, header.count);
        worker_->end_run(run);
        return ran;
      },
      // The rest of a batched claim was undecided.
      [](std::uint64_t from, std::uint64_t) { return from; });
}

}  // namespace
}  // namespace procpool::channel
