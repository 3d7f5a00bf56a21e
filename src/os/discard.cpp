// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The thread that closes descriptors that may block. See the header.
#include "os/discard.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "os/blocked_signals.hpp"

namespace procpool::inline v0_1::os {
namespace {

void* close_it(void* given) {
  ::close(static_cast<int>(reinterpret_cast<std::intptr_t>(given)));
  return nullptr;
}

}  // namespace

bool is_memory_file(int fd) noexcept {
  // The kernel answers for files in shared memory or huge pages, and for no others.
  return ::fcntl(fd, F_GET_SEALS) >= 0;
}

void close_elsewhere(UniqueFd fd) noexcept {
  if (!fd) return;
  int const kept = errno;
  int const number = fd.release();
  constexpr std::size_t stack = 64 * 1024;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack);  // if that is refused, the usual size stays
  {
    BlockedSignals const blocked;
    pthread_t thread{};
    pthread_create(&thread, &attributes, close_it,
                   reinterpret_cast<void*>(static_cast<std::intptr_t>(number)));
  }
  pthread_attr_destroy(&attributes);
  errno = kept;
}

void discard(UniqueFd fd) noexcept {
  if (!is_memory_file(fd.get())) close_elsewhere(std::move(fd));
}

}  // namespace procpool::inline v0_1::os
