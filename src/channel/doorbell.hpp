// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Doorbell: the sleep of a worker. The worker reads the doorbell, parks, looks once more, and sleeps
// if there is nothing. The parent changes its words first, and then looks whether the worker is
// parked. Both use seq_cst, so one of the two sees the other.
//
// The worker's loop only.

#include <cstdint>

#include <procpool/detail/engine/sync_points.hpp>

#include "channel/worker_rings.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

class Doorbell {
 public:
  explicit Doorbell(WorkerRings const& rings) noexcept : rings_(rings) {}

  std::uint32_t read() const noexcept {
    return rings_.in().doorbell.load(std::memory_order_seq_cst);
  }
  // Announces a sleep. `reason` is for_room or 0.
  void park(std::uint32_t reason) noexcept;
  // Blocks until the parent notifies, unless it has done so since `seen` was read.
  void sleep(std::uint32_t seen) const noexcept;
  void unpark() const noexcept;

 private:
  WorkerRings const& rings_;
  std::uint32_t sleep_number_ = 0;  // of the last sleep; even
};

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
