// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Which slot a dedicated worker gets, and since when none is used.

#include "parent/dedicated_slots.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using TimePoint = DedicatedSlots::TimePoint;

std::shared_ptr<DedicatedWorker> make_worker() {
  return std::make_shared<DedicatedWorker>(PoolOptions(), std::vector<std::string>());
}

}  // namespace

TEST(DedicatedSlots, AreUsedAgainBeforeThereAreMore) {
  DedicatedSlots slots;
  auto const first = make_worker();
  auto const second = make_worker();
  EXPECT_EQ(slots.next(), 0u);
  slots.take(first);
  EXPECT_EQ(slots.next(), 1u);
  slots.take(second);
  EXPECT_EQ(slots.worker(0), first);
  EXPECT_EQ(slots.worker(1), second);
  EXPECT_EQ(slots.worker(2), nullptr);
  EXPECT_EQ(slots.used(), 2u);
  slots.release(0, TimePoint());
  EXPECT_EQ(slots.worker(0), nullptr);
  EXPECT_EQ(slots.next(), 0u);
  slots.take(make_worker());
  EXPECT_EQ(slots.next(), 2u);
}

TEST(DedicatedSlots, KnowSinceWhenNoneIsUsed) {
  DedicatedSlots slots;
  EXPECT_EQ(slots.unused_since(), std::nullopt);
  slots.take(make_worker());
  slots.take(make_worker());
  TimePoint const now{5s};
  slots.release(1, now - 1s);
  EXPECT_EQ(slots.unused_since(), std::nullopt);
  slots.release(0, now);
  EXPECT_EQ(slots.unused_since(), now);
  slots.take(make_worker());
  EXPECT_EQ(slots.unused_since(), std::nullopt);
}

TEST(DedicatedSlots, KnowHowManyObjectsAreStillToBeMade) {
  DedicatedSlots slots;
  slots.take(make_worker());
  slots.take(make_worker()).unmade = true;
  EXPECT_EQ(slots.unmade(), 1u);
  slots.release(1, TimePoint());
  EXPECT_EQ(slots.unmade(), 0u);
}

}  // namespace procpool::parent
