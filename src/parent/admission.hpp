// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Admission: which elements a pool takes, how many it has accepted and resolved, and how far the end
// of the pool has come.
//
// Pure: no lock, no I/O, no clock. The core guards its admission with its mutex.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>

namespace procpool::inline v0_1::parent {

// How far the end of the pool has come. Only grows.
enum class Phase : std::uint8_t { open, draining, cancelling, killing };

class Admission {
 public:
  using TimePoint = detail::TimePoint;

  // `pool`: its name, for error texts. `queue_limit`: of accepted elements that no worker runs.
  Admission(std::string pool, std::optional<std::size_t> queue_limit);

  // ---- intake
  // Throws the reason why the pool takes no new call.
  void check_call() const;
  // The same for the next elements of a stream.
  void check_stream() const;
  std::optional<std::size_t> queue_limit() const noexcept { return queue_limit_; }
  // The queue has room for so many more elements. `running`: elements that workers run.
  bool has_room(std::uint64_t count, std::uint64_t running) const noexcept;
  // False: elements that wait for room wait in vain. `first`: of a call, which may still be refused.
  bool may_get_room(bool first) const noexcept;
  void accept(std::uint64_t elements) noexcept { accepted_ += elements; }
  // A call to which more elements may come. A stream is none: it ends with the pool.
  void call_begins() noexcept { ++unsealed_; }
  void call_sealed() noexcept { --unsealed_; }

  // ---- outcomes
  // The outcome of so many elements is known.
  void resolve(std::uint64_t elements) noexcept { resolved_ += elements; }
  std::uint64_t accepted() const noexcept { return accepted_; }
  std::uint64_t resolved() const noexcept { return resolved_; }
  std::uint64_t unsealed() const noexcept { return unsealed_; }
  // Nothing is left to do. `delivered`: elements whose outcome has reached their task.
  bool drained(std::uint64_t delivered) const noexcept {
    return delivered == accepted_ && unsealed_ == 0;
  }

  // ---- the end
  Phase phase() const noexcept { return phase_; }
  void close() noexcept { closed_ = true; }
  // Closes. The end turns into killing at `deadline`.
  void begin_end(Phase phase, std::optional<TimePoint> deadline) noexcept;
  // The phase at this time.
  Phase advance(TimePoint now) noexcept;
  // When the phase changes by time alone.
  std::optional<TimePoint> next_phase() const noexcept {
    return phase_ == Phase::killing ? std::nullopt : deadline_;
  }
  // No worker can be had, now and later: elements end with this error.
  void end_hopeless(std::exception_ptr reason) noexcept { hopeless_ = std::move(reason); }
  std::exception_ptr const& hopeless() const noexcept { return hopeless_; }
  // Elements that have not begun are run, or run again.
  bool goes_on() const noexcept { return !hopeless_ && phase_ < Phase::cancelling; }

 private:
  std::string const pool_;
  std::optional<std::size_t> const queue_limit_;
  Phase phase_ = Phase::open;
  bool closed_ = false;  // to new calls
  std::optional<TimePoint> deadline_;
  std::exception_ptr hopeless_;
  std::uint64_t accepted_ = 0;  // elements
  std::uint64_t resolved_ = 0;  // of these
  std::uint64_t unsealed_ = 0;  // calls
};

}  // namespace procpool::inline v0_1::parent
