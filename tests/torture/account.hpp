// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The clients of a pool: an action (Deed), the state that they share (Common), and what each then
// knows of its own (Account): how often every deed may have been begun, to be held against the
// trace of what really was.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <procpool.hpp>
#include <thread>
#include <vector>

#include "support/trace.hpp"
#include "support/watchdog.hpp"

namespace torture {

// An element of a call: who it is, and for how long it runs.
struct Deed {
  std::int64_t id = 0;
  std::int64_t microseconds = 0;
  bool listens = false;  // it returns when it is asked to stop
};
// Ends only if it is ended.
inline constexpr std::int64_t for_ever = std::int64_t{600} * 1'000'000;

constexpr std::int64_t value_of(Deed const& deed) { return 3 * deed.id + 1; }
constexpr std::int64_t value_when_asked(Deed const& deed) { return -deed.id; }

inline std::int64_t do_deed(Deed deed) {
  support::Trace::note(deed.id);
  if (!deed.listens) {
    std::this_thread::sleep_for(std::chrono::microseconds(deed.microseconds));
    return value_of(deed);
  }
  auto const end = std::chrono::steady_clock::now() + std::chrono::microseconds(deed.microseconds);
  while (std::chrono::steady_clock::now() < end) {
    if (procpool::this_task::stop_requested()) return value_when_asked(deed);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return value_of(deed);
}

inline int do_nothing(Deed) { return 0; }

// The knowledge about a deed whose call has ended.
struct Known {
  std::int64_t id = 0;
  int least = 0;  // that it was begun
  int most = 0;
};

// Shared by the clients of one pool.
struct Common {
  procpool::ProcessPool& pool;
  support::Watchdog& watchdog;
  bool kills = true;                // somebody kills workers
  std::atomic<bool> over{false};    // begin nothing new
  std::atomic<bool> ending{false};  // the pool may be ended: by others
  std::atomic<std::int64_t> last_id{0};
};

struct Account {
  std::vector<Known> known;
  std::uint64_t values = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t deadlines = 0;
  std::uint64_t asked = 0;  // that returned because they were asked to
  std::uint64_t died = 0;
  std::uint64_t refused = 0;  // calls that the pool's end refused
};

}  // namespace torture
