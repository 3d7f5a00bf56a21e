// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The messages of the dispatcher and its fork server arrive, and no other bytes are understood.

#include <gtest/gtest.h>

#include "protocol/fork_messages.hpp"

namespace procpool::protocol {
namespace {

TEST(ForkMessages, AGreetingArrives) {
  auto const back = decode_greeting(encode(Greeting{6, "solver", 3, 1}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->protocol, 6u);
  EXPECT_EQ(back->pool, "solver");
  EXPECT_EQ(back->depth, 3u);
  EXPECT_EQ(back->preloads, 1u);
}

TEST(ForkMessages, AReportOfThePreloadArrives) {
  auto const back = decode_preload_report(encode(PreloadReport{"bytes", "too long"}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->thrown, "bytes");
  EXPECT_EQ(back->reason, "too long");
}

TEST(ForkMessages, AnOrderArrives) {
  auto const back = decode_fork_order(encode(ForkOrder{ForkOrder::Kind::reap, 4711, "[pool/3]"}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ForkOrder::Kind::reap);
  EXPECT_EQ(back->request_id, 4711u);
  EXPECT_EQ(back->title, "[pool/3]");
}

TEST(ForkMessages, AReportArrives) {
  ForkReport const report{
      ForkReport::Kind::reaped, 12, 345, {os::Exit::Kind::signalled, 11}, "for no reason"};
  auto const back = decode_fork_report(encode(report));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ForkReport::Kind::reaped);
  EXPECT_EQ(back->request_id, 12u);
  EXPECT_EQ(back->pid, 345);
  EXPECT_EQ(back->exit.kind, os::Exit::Kind::signalled);
  EXPECT_EQ(back->exit.code, 11);
  EXPECT_EQ(back->reason, "for no reason");
}

TEST(ForkMessages, WhatIsCutAnywhereIsNotUnderstood) {
  auto const expect_none = [](std::vector<std::byte> const& bytes, auto decode) {
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      EXPECT_FALSE(decode(std::span(bytes).first(cut))) << cut;
    }
  };
  expect_none(encode(Greeting{6, "solver"}), decode_greeting);
  expect_none(encode(ForkOrder{ForkOrder::Kind::fork, 1, "title"}), decode_fork_order);
  expect_none(encode(ForkReport{}), decode_fork_report);
  expect_none(encode(PreloadReport{"bytes", "too long"}), decode_preload_report);
}

TEST(ForkMessages, OneIsNotTakenForAnother) {
  auto const greeting = encode(Greeting{6, "solver"});
  auto const order = encode(ForkOrder{});
  auto const report = encode(ForkReport{});
  EXPECT_FALSE(decode_greeting(order) || decode_greeting(report));
  EXPECT_FALSE(decode_fork_order(greeting) || decode_fork_order(report));
  EXPECT_FALSE(decode_fork_report(greeting) || decode_fork_report(order));
  EXPECT_FALSE(decode_preload_report(greeting) || decode_preload_report(report));
}

}  // namespace
}  // namespace procpool::protocol
