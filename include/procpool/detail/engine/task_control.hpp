#pragma once

// TaskControl: what the options of a call say of how its elements run. One for all calls that are
// made through a pool, or through one pool.with(...), because many tasks wait at the same time.

#include <chrono>
#include <optional>

#include <procpool/call_options.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

struct TaskControl {
  std::optional<std::chrono::milliseconds> timeout{};        // for running
  std::optional<std::chrono::milliseconds> queue_timeout{};  // until it begins
  std::optional<Retries> retries{};
  int priority = 0;
  std::optional<Key> key{};
  WhenFull when_full = WhenFull::block;
  std::optional<std::uint64_t> stream{};
};

PROCPOOL_API TaskControl control_of(CallOptions const& options);

}  // namespace procpool::inline v0::detail
