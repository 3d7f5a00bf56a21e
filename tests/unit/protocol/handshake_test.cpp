// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The messages of the handshake arrive, and no other bytes are understood.

#include <gtest/gtest.h>

#include "protocol/handshake.hpp"

namespace procpool::protocol {
namespace {

TEST(Handshake, AHelloArrives) {
  Hello hello{7, 3, 4711, 65536, "solver", {{2, 100, 200}, {9, 1, 1}}};
  hello.ignore_sigterm = 1;
  auto const back = decode_hello(encode(hello));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->protocol, 7u);
  EXPECT_EQ(back->worker, 3u);
  EXPECT_EQ(back->parent, 4711);
  EXPECT_EQ(back->ring_bytes, 65536u);
  EXPECT_EQ(back->pool, "solver");
  ASSERT_EQ(back->limits.size(), 2u);
  EXPECT_EQ(back->limits[0].resource, 2);
  EXPECT_EQ(back->limits[0].soft, 100u);
  EXPECT_EQ(back->limits[0].hard, 200u);
  EXPECT_EQ(back->limits[1].resource, 9);
  EXPECT_EQ(back->ignore_sigterm, 1u);
}

TEST(Handshake, TheOptionsOfADedicatedWorkerArrive) {
  Hello hello;
  hello.dedicated = 1;
  hello.whole_lines = 1;
  hello.environment = {"A=1", "EMPTY="};
  hello.cpus = {3, 70'000};
  auto const back = decode_hello(encode(hello));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->dedicated, 1u);
  EXPECT_EQ(back->whole_lines, 1u);
  EXPECT_EQ(back->environment, hello.environment);
  EXPECT_EQ(back->cpus, hello.cpus);
}

TEST(Handshake, ModulesArrive) {
  Ready ready;
  ready.modules.push_back({"/bin/program", identity::BuildId::from_file(1, 2, 3, 4)});
  ready.modules.push_back({"/lib/library.so", identity::BuildId::from_file(5, 6, 7, 8)});
  auto const back = decode_answer(encode(ready));
  ASSERT_TRUE(back && std::holds_alternative<Ready>(*back));
  auto const& modules = std::get<Ready>(*back).modules;
  ASSERT_EQ(modules.size(), 2u);
  EXPECT_EQ(modules[1].path, "/lib/library.so");
  EXPECT_EQ(modules[1].id, ready.modules[1].id);
}

TEST(Handshake, ARefusalArrives) {
  auto const back = decode_answer(encode(Refusal{"no"}));
  ASSERT_TRUE(back && std::holds_alternative<Refusal>(*back));
  EXPECT_EQ(std::get<Refusal>(*back).reason, "no");
  // It goes into an error and a log.
  auto const rude = decode_answer(encode(Refusal{"\x1b[2J\nno" + std::string(100'000, 'x')}));
  ASSERT_TRUE(rude && std::holds_alternative<Refusal>(*rude));
  EXPECT_TRUE(std::get<Refusal>(*rude).reason.starts_with("?[2J nox"));
  EXPECT_LE(std::get<Refusal>(*rude).reason.size(), 4096u);
}

TEST(Handshake, WhatIsCutAnywhereIsNotUnderstood) {
  Ready ready;
  ready.modules.push_back({"/bin/program", identity::BuildId::from_file(1, 2, 3, 4)});
  auto const bytes = encode(ready);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(decode_answer(std::span(bytes).first(cut))) << cut;
  }
  auto const hello = encode(Hello{1, 2, 3, 4, "name"});
  for (std::size_t cut = 0; cut < hello.size(); ++cut) {
    EXPECT_FALSE(decode_hello(std::span(hello).first(cut))) << cut;
  }
}

TEST(Handshake, AnAbsurdCountEndsWithTheBytes) {
  auto bytes = encode(Ready{});
  for (std::size_t i = 4; i < 12; ++i) bytes[i] = std::byte{0xff};
  EXPECT_FALSE(decode_answer(bytes));
}

TEST(Handshake, OneMessageIsNotTakenForAnother) {
  EXPECT_FALSE(decode_answer(encode(Hello{})));
  EXPECT_FALSE(decode_hello(encode(Refusal{"no"})));
}

}  // namespace
}  // namespace procpool::protocol
