// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Deadlines: the elements for which the clock alone decides. Elements with a queue timeout or a
// deadline expire unless they have begun; elements whose attempt failed are delayed until they are run
// again; and elements with a timeout or a deadline are counted while they may run.
//
// Pure: the caller says the time. The core guards its deadlines with its mutex.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include <procpool/detail/engine/deadline.hpp>

#include "parent/chunk.hpp"

namespace procpool::inline v0_1::parent {

class Deadlines {
 public:
  using TimePoint = detail::TimePoint;

  Deadlines() = default;
  Deadlines(Deadlines const&) = delete;
  Deadlines& operator=(Deadlines const&) = delete;

  // Elements of this input expire at this time. Throws std::bad_alloc.
  void expire_at(TimePoint time, std::weak_ptr<SharedInput> input,
                 SharedInput::Expiry expiry = SharedInput::Expiry::not_begun);
  // A new chunk, which is a whole input, expires as its call says. True: its deadline has passed. Throws
  // std::bad_alloc.
  bool add(Chunk const& chunk, TimePoint now);
  // An input that expires may have ended. A few are looked at, and those that have ended are
  // forgotten. For each that ends: a call that was quick would be kept until its time otherwise.
  void forget_ended() noexcept;
  std::size_t expiring() const noexcept { return expiring_.size(); }

  // Waits for memory: the element must not be lost.
  void delay_until(TimePoint time, Chunk element);
  // The delayed elements that `which` chooses, which are delayed no longer.
  Chunks remove_delayed(std::function<bool(Chunk const&)> const& which);
  // The one that is run again first; null: none is delayed.
  Chunk const* first_delayed() const noexcept;

  // So many more elements, or fewer, may be running with a timeout.
  void add_timed(std::uint64_t elements) noexcept { timed_ += elements; }
  void remove_timed(std::uint64_t elements) noexcept { timed_ -= elements; }
  bool any_timed() const noexcept { return timed_ != 0; }

  struct Due {
    Chunks delayed;                   // are to be run again now
    bool expired = false;             // inputs have expired: SharedInput::expiry()
    std::optional<TimePoint> next{};  // nothing changes before
  };
  Due due(TimePoint now);

 private:
  struct Expiring {
    std::weak_ptr<SharedInput> input;
    SharedInput::Expiry expiry;
  };
  using Expirings = std::multimap<TimePoint, Expiring>;

  void forget(Expirings::iterator which) noexcept;

  Expirings expiring_;
  Expirings::iterator next_look_ = expiring_.end();  // where forget_ended() goes on
  std::multimap<TimePoint, Chunk> delayed_;
  std::uint64_t timed_ = 0;
};

}  // namespace procpool::inline v0_1::parent
