// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// DedicatedSlots: which worker has which slot of a pool whose slots are dedicated, and what its
// owner has given it and wants of it. A slot that is free is used again before another one is made.
//
// Pure: no lock, no I/O, no clock. The core guards it with its mutex.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/stats.hpp>

#include "parent/admission.hpp"
#include "parent/dedicated_worker.hpp"

namespace procpool::inline v0_1::parent {

// The use of a slot by one owner.
struct Tenancy {
  std::shared_ptr<DedicatedWorker> worker{};    // null: the slot is free
  std::uint64_t pending = 0;                    // elements that have not ended
  bool closed = false;                          // to new calls
  Phase phase = Phase::open;                    // only grows
  std::optional<detail::TimePoint> deadline{};  // the phase is `killing` from then on
  bool unmade = false;                          // the pool waits for the object of this actor
  // Not null: there will be no process any more, and this is the outcome of every element.
  std::shared_ptr<detail::OutcomeBlock const> outcome{};
  Summary summary{};

  // There is a process, or there will be one.
  bool lives() const noexcept { return worker && !outcome; }
  // Only so many elements may wait.
  bool limited() const noexcept { return worker->actor() && worker->actor()->queue_limit; }
  bool has_room(std::uint64_t count, bool runs) const noexcept {
    auto const limit = worker->actor() ? worker->actor()->queue_limit : std::nullopt;
    std::uint64_t const queued = pending - (runs ? 1 : 0);
    return !limit || queued == 0 || queued + count <= *limit;
  }
};

class DedicatedSlots {
 public:
  using TimePoint = detail::TimePoint;

  // The slot that the next worker gets.
  std::size_t next() const noexcept { return free_.empty() ? slots_.size() : free_.back(); }
  // Gives the worker that slot. Throws std::bad_alloc, having changed nothing.
  Tenancy& take(std::shared_ptr<DedicatedWorker> worker) {
    std::size_t const slot = next();
    if (free_.empty()) {
      free_.reserve(slots_.size() + 1);  // release() must not fail
      slots_.emplace_back();
    } else {
      free_.pop_back();
    }
    slots_[slot].worker = std::move(worker);
    unused_since_.reset();
    return slots_[slot];
  }
  void release(std::size_t slot, TimePoint now) noexcept {
    slots_[slot] = Tenancy();
    free_.push_back(slot);
    if (free_.size() == slots_.size()) unused_since_ = now;
  }

  // `slot` was taken once.
  Tenancy& operator[](std::size_t slot) noexcept { return slots_[slot]; }
  Tenancy const& operator[](std::size_t slot) const noexcept { return slots_[slot]; }
  // Null: the slot is free, or is not dedicated.
  std::shared_ptr<DedicatedWorker> worker(std::size_t slot) const noexcept {
    return slot < slots_.size() ? slots_[slot].worker : nullptr;
  }
  bool lives(std::size_t slot) const noexcept {
    return slot < slots_.size() && slots_[slot].lives();
  }
  std::size_t living() const noexcept {
    std::size_t count = 0;
    for (Tenancy const& slot : slots_) count += slot.lives() ? 1 : 0;
    return count;
  }
  // Actors whose object is still to be made.
  std::size_t unmade() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(slots_, &Tenancy::unmade));
  }
  std::size_t used() const noexcept { return slots_.size() - free_.size(); }
  // Nothing: a slot is used, or none ever was.
  std::optional<TimePoint> unused_since() const noexcept { return unused_since_; }

 private:
  std::vector<Tenancy> slots_;
  std::vector<std::size_t> free_;
  std::optional<TimePoint> unused_since_;
};

}  // namespace procpool::inline v0_1::parent
