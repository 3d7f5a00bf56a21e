// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Event: an eventfd that wakes the threads that poll it. Any thread of any process that has the
// descriptor may notify. Many notifications before a look are one wake-up.
//
// Threat model: all holders share one open file, so that a faulty worker can notify without end,
// take away a notification, or make the file blocking. Therefore an event that a worker holds is
// polled edge-triggered and never drained, and a notification means only that a look is worth
// while. A crash leaves nothing.

#include <cstdint>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

class Event {
 public:
  Event();

  // Takes over a descriptor that was received.
  explicit Event(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  // Notifies. False: the descriptor is gone (closed, or no event any more). Keeps errno; may be
  // called from a signal handler.
  bool notify() const noexcept;

  // Takes all notifications and returns their number. Only for an event that no worker holds.
  std::uint64_t drain() const noexcept;

  int fd() const noexcept { return fd_.get(); }
  UniqueFd duplicate() const { return os::duplicate(fd_.get()); }

 private:
  UniqueFd fd_;
};

}  // namespace procpool::inline v0_1::os
