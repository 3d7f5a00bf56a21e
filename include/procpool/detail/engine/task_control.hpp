// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// TaskControl: what the options of a call say of how its elements run. One for all calls that are
// made through a pool, or through one pool.with(...), because many tasks wait at the same time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <procpool/call_options.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// CallOptions::label, or none.
struct PROCPOOL_API Label {
  // The bit of an id that the id of no task has.
  static constexpr std::uint64_t no_task = std::uint64_t{1} << 63;

  Label() = default;
  explicit Label(std::string given);

  std::string text{};    // empty: none
  std::uint64_t id = 0;  // equal labels have the same; 0: none
};

struct TaskControl {
  std::optional<std::chrono::milliseconds> timeout{};        // for running
  std::optional<std::chrono::milliseconds> queue_timeout{};  // until it begins
  std::optional<Retries> retries{};                          // with a number above 0
  int priority = 0;
  std::optional<Key> key{};
  WhenFull when_full = WhenFull::block;
  std::optional<std::uint64_t> stream{};
  std::optional<TimePoint> deadline{};  // for all of it
  Label label{};
  // Element i is for the worker at place i alone. There is a key, whose value means nothing.
  bool on_each_worker = false;
};

// The wait before an attempt. The first attempt after the failed one has number 1.
PROCPOOL_API std::chrono::milliseconds backoff_before(std::size_t attempt, Retries const& retries);

PROCPOOL_API TaskControl control_of(CallOptions const& options);

}  // namespace procpool::inline v0_1::detail
