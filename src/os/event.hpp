// A bell: an eventfd that wakes whoever polls it. Any thread of any process that holds the
// descriptor may ring; ringing many times before anybody looks is one wake-up. Threat model: all
// holders share one open file, so a faulty worker can ring without end, swallow a ring, or make the
// file blocking. Therefore a bell that a worker holds is polled edge-triggered and never drained,
// and nothing is concluded from a ring except that it is worth looking. A crash leaves nothing.
#pragma once

#include <cstdint>

#include "os/fd.hpp"

namespace procpool::inline v0::os {

class Event {
 public:
  Event();

  // Takes over a descriptor that was received.
  explicit Event(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  // False when the descriptor is gone (closed, or not a bell any more). Keeps errno; may be called
  // from a signal handler.
  bool ring() const noexcept;

  // Takes all rings and returns how many there were. Only for a bell that no worker holds.
  std::uint64_t drain() const noexcept;

  int fd() const noexcept { return fd_.get(); }
  UniqueFd duplicate() const { return os::duplicate(fd_.get()); }

 private:
  UniqueFd fd_;
};

}  // namespace procpool::inline v0::os
