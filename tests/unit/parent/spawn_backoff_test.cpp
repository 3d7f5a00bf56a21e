// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The time of the next start after failed starts and useless exits, and the end of all attempts.
#include "parent/spawn_backoff.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "unit/parent/now.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;
using Failure = SpawnBackoff::Failure;

auto delay(SpawnBackoff const& backoff) { return backoff.next_start() - now; }

TEST(SpawnBackoff, BeginsAtOnce) {
  SpawnBackoff const backoff;
  EXPECT_LT(backoff.next_start(), now);
  EXPECT_EQ(backoff.failed_starts(), 0u);
}

TEST(SpawnBackoff, DoublesUpToALimit) {
  SpawnBackoff backoff;
  backoff.start_failed(now, Failure::external_kill);
  EXPECT_EQ(delay(backoff), 10ms);
  backoff.start_failed(now, Failure::external_kill);
  EXPECT_EQ(delay(backoff), 20ms);
  for (int i = 0; i < 40; ++i) backoff.start_failed(now, Failure::external_kill);
  EXPECT_EQ(delay(backoff), 1280ms);
}

TEST(SpawnBackoff, ThreeFailedStartsAreHopeless) {
  SpawnBackoff backoff;
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  EXPECT_TRUE(backoff.start_failed(now, Failure::start));
  EXPECT_EQ(backoff.failed_starts(), 3u);
}

TEST(SpawnBackoff, AnInitializerFailsOnce) {
  SpawnBackoff backoff;
  EXPECT_TRUE(backoff.start_failed(now, Failure::initializer));
}

TEST(SpawnBackoff, TwelveExternalKillsAreHopeless) {
  SpawnBackoff backoff;
  for (int i = 0; i < 11; ++i) EXPECT_FALSE(backoff.start_failed(now, Failure::external_kill)) << i;
  EXPECT_TRUE(backoff.start_failed(now, Failure::external_kill));
}

TEST(SpawnBackoff, ExternalKillsDoNotCountAsFailures) {
  SpawnBackoff backoff;
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(backoff.start_failed(now, Failure::external_kill)) << i;
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  EXPECT_TRUE(backoff.start_failed(now, Failure::start));
}

TEST(SpawnBackoff, AReadyWorkerEndsTheRow) {
  SpawnBackoff backoff;
  backoff.start_failed(now, Failure::start);
  backoff.start_failed(now, Failure::external_kill);
  backoff.worker_ready();
  EXPECT_EQ(backoff.failed_starts(), 0u);
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  EXPECT_EQ(delay(backoff), 10ms);
  EXPECT_FALSE(backoff.start_failed(now, Failure::start));
  EXPECT_TRUE(backoff.start_failed(now, Failure::start));
}

TEST(SpawnBackoff, TheFirstUselessExitIsReplacedAtOnce) {
  SpawnBackoff backoff;
  backoff.useless_exit(now);
  EXPECT_LT(backoff.next_start(), now);
  backoff.useless_exit(now);
  EXPECT_EQ(delay(backoff), 20ms);
}

TEST(SpawnBackoff, AUsefulExitEndsTheRow) {
  SpawnBackoff backoff;
  backoff.useless_exit(now);
  backoff.useful_exit();
  backoff.useless_exit(now);
  EXPECT_LT(backoff.next_start(), now);
}

TEST(SpawnBackoff, UselessExitsAndFailedStartsAreOneRow) {
  SpawnBackoff backoff;
  backoff.useless_exit(now);
  backoff.start_failed(now, Failure::start);
  EXPECT_EQ(delay(backoff), 20ms);
}

TEST(SpawnBackoff, UselessForkServersDelayFromTheSecondOn) {
  SpawnBackoff backoff;
  backoff.fork_server_lost(now, 0);
  backoff.fork_server_lost(now, 1);
  EXPECT_LT(backoff.next_start(), now);
  backoff.fork_server_lost(now, 2);
  EXPECT_EQ(delay(backoff), 20ms);
}

}  // namespace
}  // namespace procpool::parent
