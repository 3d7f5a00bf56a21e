// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Load: the work of one worker in absolute numbers, at one moment. Each operation on the slot of a
// worker that changes the load returns it. Its version grows with each of them: of two loads the newer
// is known, whichever thread brings it, and the older is not needed any more.

#include <cstdint>

namespace procpool::inline v0_1::parent {

// How much work. A sum may wrap around: the difference of two sums is right all the same.
struct Amount {
  std::uint64_t elements = 0;
  std::uint64_t chunks = 0;
  std::uint64_t keyed_chunks = 0;  // of these: chunks whose task has a key
  std::uint64_t estimate_ns = 0;

  Amount& operator+=(Amount const& other) noexcept {
    elements += other.elements;
    chunks += other.chunks;
    keyed_chunks += other.keyed_chunks;
    estimate_ns += other.estimate_ns;
    return *this;
  }
  Amount& operator-=(Amount const& other) noexcept {
    elements -= other.elements;
    chunks -= other.chunks;
    keyed_chunks -= other.keyed_chunks;
    estimate_ns -= other.estimate_ns;
    return *this;
  }
  friend Amount operator+(Amount a, Amount const& b) noexcept { return a += b; }
  friend Amount operator-(Amount a, Amount const& b) noexcept { return a -= b; }
  friend bool operator==(Amount const&, Amount const&) = default;
};

// The elements of a task of the pool's own count nowhere here.
struct Load {
  std::uint64_t version = 0;   // 0: nothing has changed, and nothing else here has a meaning
  Amount held;                 // sent, and neither answered nor revoked
  Amount offered;              // all that was ever to be put into the slot, sent or not
  std::uint64_t given = 0;     // elements sent to the worker in its life, without the revoked ones
  std::uint64_t answered = 0;  // elements answered by the worker in its life
  std::uint64_t returned = 0;  // elements that ever came back: revoked, or put without being sent
  bool revoking = false;       // the worker has not acknowledged a revocation: it is sent nothing
  bool writable = false;       // a chunk would find room, as far as is known
};

}  // namespace procpool::inline v0_1::parent
