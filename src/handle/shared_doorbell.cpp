// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/shared_doorbell.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {

void SharedDoorbell::ring(int sleepers) noexcept {
  words_.parked.exchange(0, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(queue_unparked);
  words_.doorbell.fetch_add(1, std::memory_order_seq_cst);
  PROCPOOL_SYNC_POINT(queue_rung);
  os::futex_wake(words_.doorbell, sleepers, os::FutexScope::shared);
}

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
