// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/thread_id.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace procpool::inline v0_1::os {
namespace {

thread_local ThreadId known;

// Runs on the only thread that a forked child begins with.
void forget() { known = {}; }

ThreadId find() noexcept {
  static int const registered = pthread_atfork(nullptr, nullptr, forget);
  static_cast<void>(registered);
  static std::atomic<std::uint64_t> last{0};
  // Relaxed: only the numbers must differ.
  return {static_cast<std::uint32_t>(::syscall(SYS_gettid)),
          last.fetch_add(1, std::memory_order_relaxed) + 1};
}

}  // namespace

ThreadId const& this_thread_id() noexcept {
  if (known.serial == 0) [[unlikely]]
    known = find();
  return known;
}

}  // namespace procpool::inline v0_1::os
