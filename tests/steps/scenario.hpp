// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The elements of a worker in a trial, and the behaviour of the parent. Elements are numbered from 0
// through all chunks of a scenario.

#include <cstdint>
#include <optional>
#include <vector>

#include "event_log.hpp"

namespace procpool::steps {

struct Scenario {
  char const* name;
  std::vector<std::uint64_t> chunks;        // the number of elements of each
  std::size_t result = 8;                   // bytes of each
  bool fixed = true;                        // false: the type of the result has a varying size
  std::size_t argument = 8;                 // bytes of each
  std::uint64_t block = 0;                  // 0: each by itself; else the size of a batched claim
  std::optional<std::uint64_t> throws{};    // this element
  std::optional<std::uint64_t> retires{};   // the worker, with this element
  bool one_by_one = false;                  // a chunk is put when the earlier ones have ended
  std::vector<std::size_t> shares{};        // bytes of the shared values that they name
  bool names_memory = false;                // each result names shared memory
  bool internal = false;                    // one element of the pool's own comes last
  bool apart = false;                       // they have a deadline
  bool listens = false;                     // each looks for requests to stop
  std::optional<std::uint64_t> overruns{};  // this element runs until its worker is ended
  // When the parent collects: when it is notified; when it is notified or its short poll ends; or only
  // once the worker sleeps.
  enum class Parent : std::uint8_t { sleeps, short_polls, is_late } parent = Parent::sleeps;
};

inline constexpr std::size_t ring_bytes = 16 * 1024;
// More than fits into a ring, and nearly as much as fits.
inline constexpr std::size_t large = 6000;
inline constexpr std::size_t nearly_large = 4000;

inline std::vector<Scenario> const& scenarios() {
  using Parent = Scenario::Parent;
  static std::vector<Scenario> const all = {
      {.name = "single values", .chunks = {1, 1, 1}},
      {.name = "one after the other", .chunks = {1, 1, 1}, .one_by_one = true},
      {.name = "chunks", .chunks = {3, 2}, .fixed = false},
      {.name = "chunks, and short polls",
       .chunks = {3, 1, 2},
       .one_by_one = true,
       .parent = Parent::short_polls},
      {.name = "an element throws", .chunks = {3}, .fixed = false, .throws = 1},
      {.name = "a run", .chunks = {4, 2}, .block = 1},
      {.name = "a run of batched claims", .chunks = {9, 5}, .block = 4},
      {.name = "an element of a batched claim throws", .chunks = {6}, .block = 4, .throws = 2},
      {.name = "large results",
       .chunks = {1, 3},
       .result = large,
       .fixed = false,
       .one_by_one = true},
      {.name = "more large results than may wait",
       .chunks = {7},
       .result = large,
       .fixed = false,
       .parent = Parent::is_late},
      {.name = "large arguments", .chunks = {1, 1}, .argument = large, .one_by_one = true},
      {.name = "a full outbox",
       .chunks = {9},
       .result = nearly_large,
       .fixed = false,
       .parent = Parent::is_late},
      {.name = "a run in a full outbox",
       .chunks = {9},
       .result = nearly_large,
       .block = 2,
       .parent = Parent::is_late},
      {.name = "shared values", .chunks = {1, 2}, .shares = {100, large}},
      {.name = "shared values that leave no room",
       .chunks = {1},
       .argument = nearly_large,
       .shares = {nearly_large, nearly_large, nearly_large}},
      {.name = "results that name shared memory",
       .chunks = {2, 1},
       .fixed = false,
       .names_memory = true},
      {.name = "the worker retires", .chunks = {3, 2}, .retires = 1, .internal = true},
      {.name = "the worker retires, and the parent is late",
       .chunks = {3},
       .retires = 0,
       .parent = Parent::is_late},
      {.name = "an internal chunk", .chunks = {2}, .internal = true},
      {.name = "elements that listen", .chunks = {3}, .apart = true, .listens = true},
      {.name = "the first element overruns", .chunks = {2}, .apart = true, .overruns = 0},
      {.name = "an element overruns", .chunks = {3, 2}, .apart = true, .overruns = 3},
  };
  return all;
}

// The act of the parent while the worker is stopped.
enum class Act : std::uint8_t {
  nothing,
  revoke_all,  // and keeps them
  revoke_one,
  revoke_again,  // all, and puts them again
  put_more,
  cancel,  // the running element, by ending the worker
  ask_to_stop,
  ask_to_leave,
  put_and_ask_to_leave,
  collect
};

inline constexpr std::array every_act = {
    Act::nothing, Act::revoke_all,  Act::revoke_one,   Act::revoke_again,         Act::put_more,
    Act::cancel,  Act::ask_to_stop, Act::ask_to_leave, Act::put_and_ask_to_leave, Act::collect};

inline char const* name_of(Act act) {
  static constexpr std::array names = {
      "nothing", "revoke all",  "revoke one",   "revoke and put again",      "put more",
      "cancel",  "ask to stop", "ask to leave", "put more and ask to leave", "collect"};
  return names.at(static_cast<unsigned>(act));
}

}  // namespace procpool::steps
