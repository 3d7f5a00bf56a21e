// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/fork_detection.hpp"

#include <pthread.h>

#include <atomic>

namespace procpool::inline v0_1 {
namespace {

std::atomic<unsigned> forks{0};

void count_fork() { forks.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

unsigned fork_count() noexcept {
  static int const registered = pthread_atfork(nullptr, nullptr, count_fork);
  static_cast<void>(registered);
  // Relaxed: the count changes only in a child, before that child has a second thread.
  return forks.load(std::memory_order_relaxed);
}

// Relaxed: as in fork_count().
void forget_forks() noexcept { forks.store(0, std::memory_order_relaxed); }

}  // namespace procpool::inline v0_1
