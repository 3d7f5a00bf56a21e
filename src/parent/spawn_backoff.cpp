// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/spawn_backoff.hpp"

#include <algorithm>

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

constexpr unsigned max_failed_starts = 3;
constexpr unsigned max_external_kills = 12;  // with their delays, eight seconds
constexpr auto first_delay = 10ms;
constexpr unsigned max_doublings = 7;  // 1.28 s

}  // namespace

bool SpawnBackoff::start_failed(TimePoint now, Failure failure) noexcept {
  ++failed_starts_;
  if (failure == Failure::external_kill) ++external_kills_;
  delay(now, failed_starts_ + useless_exits_);
  unsigned const limit = failure == Failure::initializer ? 1 : max_failed_starts;
  return failed_starts_ - external_kills_ >= limit || failed_starts_ >= max_external_kills;
}

void SpawnBackoff::worker_ready() noexcept {
  failed_starts_ = 0;
  external_kills_ = 0;
}

void SpawnBackoff::useless_exit(TimePoint now) noexcept {
  ++useless_exits_;
  // The first such worker is replaced at once; a row of them must not become a storm.
  if (useless_exits_ > 1) delay(now, failed_starts_ + useless_exits_);
}

void SpawnBackoff::fork_server_lost(TimePoint now, unsigned in_a_row) noexcept {
  if (in_a_row > 1) delay(now, in_a_row);
}

void SpawnBackoff::delay(TimePoint now, unsigned in_a_row) noexcept {
  next_start_ = now + first_delay * (1u << std::min(in_a_row - 1, max_doublings));
}

}  // namespace procpool::inline v0_1::parent
