// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Declarations: the function table decides like the worker's copy of it must, and a function that was
// declared is found again.

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <stdexcept>

#include "parent/function_table.hpp"

namespace procpool::parent {
namespace {

template <int N>
void numbered_code(detail::Operation& operation) {
  operation.callable = reinterpret_cast<void*>(static_cast<std::uintptr_t>(N));
}

detail::Function function(detail::Trampoline code, bool state = false) {
  detail::Function function;
  function.code = code;
  function.argument_size = 3;
  if (state) function.state = std::make_shared<detail::Bytes const>(detail::Bytes(5, std::byte{9}));
  return function;
}

TEST(FunctionTable, AFunctionIsDeclaredOnce) {
  FunctionTable table;
  detail::Task const first(function(numbered_code<1>));
  detail::Task const again(function(numbered_code<1>));
  auto const place = table.place(first);
  EXPECT_FALSE(place.registered);
  EXPECT_TRUE(table.place(again).registered);
  EXPECT_EQ(table.place(again).slot, place.slot);
}

// A module was unloaded, and another one came to lie there.
TEST(FunctionTable, TheSameAddressInAnotherModuleIsAnotherFunction) {
  FunctionTable table;
  detail::Function code = function(numbered_code<1>);
  code.loaded = 1;
  detail::Task const first(code);
  code.loaded = 2;
  detail::Task const other(code);
  auto const place = table.place(first);
  EXPECT_FALSE(table.place(other).registered);
  EXPECT_TRUE(table.place(first).registered);
  EXPECT_EQ(table.place(first).slot, place.slot);
}

TEST(FunctionTable, ACallableWithStateIsItsTasksOwn) {
  FunctionTable table;
  detail::Task const first(function(numbered_code<1>, true));
  detail::Task const other(function(numbered_code<1>, true));
  auto const place = table.place(first);
  EXPECT_TRUE(table.place(first).registered);
  auto const second = table.place(other);
  EXPECT_FALSE(second.registered);
  EXPECT_NE(second.slot, place.slot);
}

TEST(FunctionTable, ACallableWhoseTaskIsGoneMakesRoomFirst) {
  FunctionTable table;
  detail::Task const plain(function(numbered_code<1>));
  auto const first = table.place(plain);
  std::optional<detail::Task> ended(function(numbered_code<1>, true));
  auto const place = table.place(*ended);
  detail::Task const lasting(function(numbered_code<1>, true));
  EXPECT_NE(table.place(lasting).slot, place.slot) << "it is there still";
  ended.reset();
  detail::Task const next(function(numbered_code<1>, true));
  auto const again = table.place(next);
  EXPECT_FALSE(again.registered);
  EXPECT_EQ(again.slot, place.slot);
  EXPECT_TRUE(table.place(plain).registered);
  EXPECT_EQ(table.place(plain).slot, first.slot);
  EXPECT_TRUE(table.place(lasting).registered);
}

TEST(FunctionTable, WhatWasNotSentIsNotDeclared) {
  FunctionTable table;
  detail::Task const task(function(numbered_code<1>));
  table.forget(table.place(task).slot);
  EXPECT_FALSE(table.place(task).registered);
}

TEST(FunctionTable, TheLeastRecentlyUsedMakesRoom) {
  FunctionTable table;
  std::vector<std::unique_ptr<detail::Task>> tasks;
  for (std::size_t i = 0; i < protocol::function_slots; ++i) {
    tasks.push_back(std::make_unique<detail::Task>(function(numbered_code<1>, true)));
    EXPECT_FALSE(table.place(*tasks.back()).registered);
  }
  std::size_t const second = table.place(*tasks[1]).slot;
  EXPECT_TRUE(table.place(*tasks[0]).registered);  // now tasks[2] is the oldest
  detail::Task const late(function(numbered_code<2>));
  auto const place = table.place(late);
  EXPECT_FALSE(place.registered);
  EXPECT_TRUE(table.place(*tasks[0]).registered);
  EXPECT_TRUE(table.place(*tasks[1]).registered);
  EXPECT_EQ(table.place(*tasks[1]).slot, second);
  EXPECT_FALSE(table.place(*tasks[2]).registered);
}

TEST(FunctionRegistration, TheCodeIsFoundAgainWithItsState) {
  detail::Function const given = function(numbered_code<3>, true);
  detail::Bytes const bytes = protocol::encode_registration(given);
  protocol::FunctionRegistration const back = protocol::decode_registration(bytes);
  EXPECT_EQ(back.code, given.code);
  EXPECT_EQ(back.argument_size, 3u);
  EXPECT_EQ(back.state.size(), 5u);
  EXPECT_EQ(back.state[0], std::byte{9});
}

TEST(FunctionRegistration, WhatIsCutInItsIdentityIsRefused) {
  detail::Bytes const bytes = protocol::encode_registration(function(numbered_code<3>));
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_THROW(protocol::decode_registration(std::span(bytes).first(cut)), std::runtime_error)
        << cut;
  }
}

}  // namespace
}  // namespace procpool::parent
