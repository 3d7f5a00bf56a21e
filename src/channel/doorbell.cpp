// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/doorbell.hpp"

#include "os/futex.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

void Doorbell::park(std::uint32_t reason) noexcept {
  sleep_number_ += 2;
  if (sleep_number_ == 0) sleep_number_ = 2;
  rings_.out().parked.store(sleep_number_ | reason, std::memory_order_seq_cst);
}

void Doorbell::sleep(std::uint32_t seen) const noexcept {
  PROCPOOL_SYNC_POINT(falling_asleep);
  os::futex_wait(rings_.in().doorbell, seen, os::FutexScope::shared);
  PROCPOOL_SYNC_POINT(woken);
}

void Doorbell::unpark() const noexcept {
  // Relaxed: a parent that sees it late makes one needless system call.
  rings_.out().parked.store(0, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(unparked);
}

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
